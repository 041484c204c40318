"""Rows of results: kept, replaced and found; stored whole, whenever a study is killed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from places import HELPERS, ROOT
from torch import nn

from mstlib.studies import records
from mstlib.studies.records import FOLDER, Table, find, kept, versions


@dataclass(frozen=True)
class Cell:
    place: tuple[int, int]
    hash: str = "a"


class Counted:
    """A measurement that notes what it was asked for."""

    def __init__(self):
        self.seen = []

    def __call__(self, cell):
        self.seen.append(cell)
        return {"sum": sum(cell.place), "by": cell.hash}


def key(cell):
    return {"place": cell.place, "hash": cell.hash}


def test_a_row_is_measured_once_and_again_under_another_recipe(tmp_path):
    table, measure = Table(tmp_path / "cells.json", recipe=("hash",)), Counted()
    assert table.read() == []
    one, two = Cell((1, 2)), Cell((3, 4))
    rows = table.fill([one, two, one], key, measure)
    assert measure.seen == [one, two]
    assert rows == table.read()
    assert rows[0] == {"place": [1, 2], "hash": "a", "sum": 3, "by": "a"}
    before = table.path.stat().st_mtime_ns
    assert table.fill([two], key, measure) == rows  # rows of other cases stay
    assert table.path.stat().st_mtime_ns == before

    new = Cell((1, 2), "b")
    rows = table.fill([new, two], key, measure)
    assert measure.seen == [one, two, new]
    assert [(row["place"], row["by"]) for row in rows] == [([3, 4], "a"), ([1, 2], "b")]


def test_what_another_run_stored_meanwhile_stays(tmp_path):
    table = Table(tmp_path / "cells.json", recipe=("hash",))

    def measure(cell):
        table.write([*table.read(), {"place": [9, 9], "hash": "a"}])
        return {}

    assert len(table.fill([Cell((1, 2))], key, measure)) == 2


def test_a_measurement_that_fails_leaves_what_there_was(tmp_path):
    table, measure = Table(tmp_path / "cells.json", recipe=("hash",)), Counted()
    table.fill([Cell((1, 2))], key, measure)
    before = table.path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        table.fill([Cell((1, 2), "b")], key, lambda cell: 1 / 0)
    assert table.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["cells.json"]


def test_rows_under_another_head_do_not_count(tmp_path):
    table, measure = Table(tmp_path / "cells.json", ("hash",), head={"steps": 8}), Counted()
    table.fill([Cell((1, 2))], key, measure)
    content = json.loads(table.path.read_text())
    torch_here = torch.__version__.split("+")[0]
    assert list(content) == ["made by", "torch", "steps", "rows"]
    assert (content["made by"], content["torch"]) == ("mst study cells", torch_here)
    assert len(table.read()) == 1
    longer = Table(table.path, ("hash",), head={"steps": 16})
    assert longer.read() == []
    longer.fill([Cell((1, 2))], key, measure)
    assert len(measure.seen) == 2
    assert table.read() == []


def test_progress_names_the_case_and_its_plain_numbers(tmp_path, capsys):
    table = Table(tmp_path / "cells.json", recipe=("hash",))
    table.fill([Cell((1, 2))], key, Counted())
    assert capsys.readouterr().out == ""
    table.fill([Cell((3, 4))], key, Counted(), progress=True)
    assert capsys.readouterr().out == "{'place': [3, 4], 'sum': 7}\n"


def test_rows_are_found_by_their_case_or_named():
    rows = [{"place": [1, 2], "hash": "a"}, {"place": [3, 4], "hash": "a"}]
    assert find(rows, Cell((3, 4))) is rows[1]
    assert find(rows, {"hash": "a"}) is rows[0]
    with pytest.raises(LookupError, match=r"no stored result for .*'place': \[5, 6\]"):
        find(rows, Cell((5, 6)))


def test_weights_are_trained_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "KEPT", tmp_path / "kept")
    model, trainings = nn.Linear(2, 3), []

    def make(state):
        trainings.append(state)
        return nn.Linear(2, 3)

    first, again = kept("one", model, make), kept("one", model, make)
    assert trainings == [tmp_path / "kept" / "one"]
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, model.weight)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["one.safetensors"]


def test_packages_that_are_missing_are_named():
    assert versions("torch") == {"torch": torch.__version__.split("+")[0]}
    with pytest.raises(ValueError, match="mst-of-nowhere is not installed: look elsewhere"):
        versions("torch", "mst-of-nowhere", install="look elsewhere")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_stored_would_be_written_the_same(path, tmp_path):
    if path.stem == "bench":
        pytest.skip("written by `make bench`, by itself")
    content = json.loads(path.read_text("utf-8"))
    copy = tmp_path / path.name
    records.write(copy, content, lines=path.stem in ("norms", "events"))
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_killed_study_loses_the_cell_under_way_and_no_other(tmp_path):
    program = [sys.executable, HELPERS / "killed_study.py", tmp_path, "7"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    kills = found["as it is"].pop("kills")
    assert kills >= 20
    untold = found["as it is"].pop("untold")  # stored, and killed before it was said
    assert untold <= 1
    assert found["as it is"] == {"torn": 0, "lost": 0, "unequal": 0}
    assert found["in halves"]["torn"] == 1  # and a plain write would have been seen


def test_the_place_of_the_results_travels_with_the_package():
    assert Path(records.__file__).parent / "results" == FOLDER
    assert (FOLDER / "norms.json").exists()
