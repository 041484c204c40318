"""``mst study``: one command for all that the book measures."""

import subprocess
import sys
from importlib import import_module

import pytest

from mstlib.cli import main
from mstlib.commands.study import STUDIES


def test_without_a_name_it_lists_them(capsys):
    assert main(["study"]) == 0
    said = capsys.readouterr().out
    for name, question in STUDIES.items():
        assert name in said
        assert question.split()[0] in said


def test_a_name_that_is_not_known_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["study", "sweeps"])
    assert stop.value.code == 2
    assert "invalid choice: 'sweeps' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize("name", STUDIES)
def test_each_runs_and_says_its_question_arms_seeds_images_statistic_and_what_refutes(
    name, monkeypatch
):
    study, runs = import_module(f"mstlib.studies.{name}"), []
    for part in ("Question: ", "\nArms: ", "\nSeeds: ", "Images: ", "\nStatistic: ", "\nRefuted: "):
        assert study.__doc__.count(part) == 1, part
    monkeypatch.setattr(study, "run", lambda progress: runs.append(progress))
    assert main(["study", name]) == 0
    assert runs == [True]


@pytest.mark.slow
def test_no_study_is_read_before_it_is_asked_for():
    code = (
        "import sys, mstlib.cli; mstlib.cli._parser(); "
        "print([n for n in sys.modules if n.startswith('mstlib.studies')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
