"""The ledger of claims: every claim of the paper has its entry, and every entry its evidence."""

import argparse
import json
import re
import shlex
import sys
from collections import Counter
from dataclasses import replace

import pytest
from places import ROOT

from mstlib.cli import _parser
from mstlib.commands.evaluate import parse_masking
from mstlib.masking import Masking
from mstlib.models.swin import SwinConfig

sys.path.insert(0, str(ROOT / "tools"))

from claims import (
    NOTEBOOKS,
    PAGE,
    SHOWN,
    STATUSES,
    Claim,
    LedgerError,
    holds,
    page,
    problems,
    read,
    stored_outputs,
)
from equation_map import find

CLAIMS = read()

# What the paper has, copied from its pages and not from the ledger.
EQUATIONS = range(1, 11)
PANELS = {
    "Figure 1": [""],
    "Figure 2": [" (a)", " (b)", " (c)", " (d)", " (e)"],
    "Figure 3": [" (a)", " (b)", " (c)"],
    "Figure 4": [""],
    "Figure 5": [f" ({panel}){inset}" for panel in "abcd" for inset in ("", ", inset")],
    "Figure 6": [""],
    "Figure 7": [""],
}
# The column "Accuracy" of each table, from top to bottom.
TABLES = {
    ("Table 1", "CIFAR-10"): "98.14 93.44 92.92 94.50 95.40 95.51 93.63 93.45 96.06 96.32 97.06 "
    "97.27",
    ("Table 1", "CIFAR-100"): "88.72 69.67 70.86 74.72 78.50 78.21 70.93 75.10 79.61 85.40 86.73 "
    "86.91",
    ("Table 1", "ImageNet"): "80.51 69.00 67.04 68.00 67.74 74.81 73.09 74.32 77.88 78.37 78.51",
    ("Table 2", "CIFAR10-DVS"): "88.98 72.00 74.80 75.40 77.30 83.17 81.70 80.90 86.60 87.20 88.12",
    ("Table 2", "N-Caltech101"): "92.00 55.00 83.70 84.71 89.42 91.38",
    ("Table 2", "N-Cars"): "97.14 86.00 91.90 94.67 96.58 97.28",
    ("Table 2", "Action Recognition"): "90.14 71.20 78.10 84.76 86.92 88.21",
    ("Table 2", "ASL-DVS"): "99.90 96.04 98.04 98.51 99.10",
    ("Table 3", "MST"): "97.27 97.25 97.29",
    ("Table 3", "ResNet18"): "96.48 92.88 82.68",
    ("Table 3", "VGG16"): "95.46 89.56 79.09",
}
# Numbers that its sentences state, and how often the ledger has to answer them.
STATED = {
    "26.8 %": 2,
    "1.21 %": 1,
    "7.3 %": 1,
    "3.7 %": 2,
    "10 %": 1,
    "1.8 %": 1,
    "8.7 %": 1,
    "4.95 %": 1,
    "7.68 %": 1,
    "5.38 %": 1,
    "88.21 %": 2,  # the text, and Table 2
    "3.06 %": 1,
    "0.1 %": 1,
    "30.1 %": 1,
    "3.6 %": 1,
    "2 to 5": 1,
    "9 to 10": 1,
}
SECTIONS = [
    "Abstract",
    "§1",
    "§3.1",
    "§3.2",
    "§3.3",
    "§3.4",
    "§4",
    "§4.1",
    "§4.2",
    "§4.3",
    "§5",
    "§6",
]


def test_the_ledger_is_sound():
    assert problems(CLAIMS) == []


def test_there_are_enough_entries():
    assert len(CLAIMS) >= 120


@pytest.mark.parametrize("number", EQUATIONS)
def test_every_equation_has_an_entry(number):
    assert sum(f"Eq. {number}" in claim.where.split(", ") for claim in CLAIMS) == 1


@pytest.mark.parametrize(("figure", "panels"), PANELS.items())
def test_every_panel_has_an_entry(figure, panels):
    places = [claim.where for claim in CLAIMS]
    for panel in panels:
        assert figure + panel in places


@pytest.mark.parametrize(("place", "accuracies"), TABLES.items(), ids=" ".join)
def test_every_row_of_a_table_has_an_entry(place, accuracies):
    table, data = place
    rows = [c for c in CLAIMS if c.where.startswith(f"{table}, {data},") and c.paper]
    rows = [c for c in rows if not c.paper.startswith("×") and "points" not in c.paper]
    found = [re.search(r"([\d.]+) %(,|$)", claim.paper)[1] for claim in rows]
    assert found == accuracies.split()


@pytest.mark.parametrize(("value", "times"), STATED.items())
def test_every_stated_number_has_an_entry(value, times):
    assert sum(holds(claim.paper or "", value) for claim in CLAIMS) >= times


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_entries(section):
    assert any(claim.where.split(",")[0] == section for claim in CLAIMS)


def test_the_page_is_that_of_the_ledger():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(CLAIMS), "run `.venv/bin/python tools/claims.py`"
    for status, count in Counter(claim.status for claim in CLAIMS).items():
        assert f"| {status} | {count} |" in written


def test_cells_that_are_cited_for_the_papers_arithmetic_print_it():
    cited = {claim.cell for claim in CLAIMS if claim.notebook == "A2_claims"}
    assert len(cited) >= 10


def test_commands_are_ones_that_mst_takes():
    commands = [
        command
        for claim in CLAIMS
        if claim.status == "needs data we cannot ship"
        for command in re.findall(r"`(mst [^`]+)`", claim.note)
    ]
    assert len(commands) >= 10
    for command in commands:
        options = _parser().parse_args(shlex.split(command)[1:])
        parse_masking(getattr(options, "mask", []))


def test_a_command_that_mst_does_not_take_is_noticed():
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        _parser().parse_args(["evaluate", "cifar10.pth", "--data", "cifar10", "--where", "DIR"])


# ---- each trouble is noticed ----

GOOD = Claim(
    id="text-saving-of-a-row",
    where="§4.3",
    claim="It saves.",
    paper="26.8 %",
    ours="25.6 %",
    status="recomputed exactly",
    notebook="X1_test",
    cell="x-saving",
)


@pytest.fixture
def notebooks(tmp_path):
    cells = [
        {
            "id": "x-saving",
            "outputs": [
                {"output_type": "stream", "text": ["it saves\n", "  25.6 % of it\n"]},
                {"output_type": "display_data", "data": {"text/plain": ["a  figure"]}},
                {"data": {"text/html": "<svg>12.5</svg><table><tr><td>7 &lt; 8</td></tr></table>"}},
            ],
        },
        {"id": "x-words"},
    ]
    (tmp_path / "X1_test.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("ours", ["25.6 %", "saves 25.6", "a figure", "7 < 8"])
def test_a_good_entry_has_no_trouble(notebooks, ours):
    assert problems([replace(GOOD, ours=ours)], notebooks) == []


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"notebook": "X2_test"}, "there is no notebook X2_test"),
        ({"cell": "x-loss"}, "X1_test has no cell x-loss"),
        ({"cell": "x-words"}, "cell x-words does not show '25.6 %'"),
        ({"ours": "26.8 %"}, "does not show '26.8 %'"),
        ({"ours": "5.6 %"}, "does not show '5.6 %'"),
        ({"ours": "25"}, "does not show '25'"),
        ({"ours": "12.5"}, "does not show '12.5'"),
        ({"status": "proved"}, "unknown status 'proved'"),
        ({"status": ""}, "unknown status ''"),
        ({"cell": None}, "needs a notebook, a cell and our value"),
        ({"notebook": None, "cell": None}, "needs a notebook, a cell and our value"),
        ({"ours": None}, "needs a notebook, a cell and our value"),
        ({"status": "seen at small scale", "cell": None}, "needs a notebook"),
        ({"status": "not checkable"}, "needs a note"),
        ({"status": "needs data we cannot ship", "note": "with data"}, "must have the command"),
        ({"agrees": False}, "does not come out needs a note"),
        ({"id": "text_saving"}, "not in kebab-case"),
        ({"id": "saving"}, "begins like none"),
        ({"claim": ""}, "must say something"),
    ],
)
def test_a_trouble_is_noticed(notebooks, change, trouble):
    found = problems([replace(GOOD, **change)], notebooks)
    assert any(trouble in line for line in found), found


def test_an_id_that_is_used_twice_is_noticed(notebooks):
    assert problems([GOOD, GOOD], notebooks) == [f"{GOOD.id}: this id is used twice"]


@pytest.mark.parametrize(
    ("entry", "trouble"),
    [
        ("- {id: eq-1, where: a, claim: b, paper: c, ours: d}", "status"),
        ("- {id: eq-1, where: a, claim: b, paper: c, ours: d, status: e, colour: f}", "colour"),
        ("- {id: eq-1, where: a, claim: b, paper: 24, ours: d, status: e}", "quote 24"),
        (
            "- {id: eq-1, where: a, claim: b, paper: c, ours: d, status: e, agrees: no way}",
            "agrees",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(tmp_path, entry, trouble):
    path = tmp_path / "claims.yml"
    path.write_text(entry, encoding="utf-8")
    with pytest.raises(LedgerError, match=f"entry eq-1: .*{trouble}"):
        read(path)


def test_a_claim_that_is_lost_is_missed():
    """The tests above look at the ledger: without an entry they fail."""
    lost = [claim for claim in CLAIMS if claim.id != "t2-ncars-mst-64"]
    rows = [c for c in lost if c.where.startswith("Table 2, N-Cars,")]
    assert len(rows) == len(TABLES["Table 2", "N-Cars"].split()) - 1


def test_figures_hide_no_value(notebooks):
    assert "12.5" not in stored_outputs(notebooks / "X1_test.ipynb")["x-saving"]


def test_every_status_is_explained_and_used():
    assert {claim.status for claim in CLAIMS} == set(STATUSES)
    assert set(SHOWN) < set(STATUSES)
    assert all((NOTEBOOKS / f"{c.notebook}.ipynb").exists() for c in CLAIMS if c.notebook)


def test_options_on_the_page_of_paper_and_code_exist():
    text = (ROOT / "book" / "paper_against_code.md").read_text(encoding="utf-8")
    options = re.findall(r"`((?:SwinConfig|Masking)\([^`…]*\))`", text)
    assert len(options) >= 10
    for option in options:
        eval(option, {"SwinConfig": SwinConfig, "Masking": Masking})
    names = re.findall(r"`(mstlib(?:\.\w+)+)`", text)
    assert len(names) >= 3
    for name in names:
        assert find(name)
