"""Sweeps: what is stored, what is trained again, and that no masked row stands alone."""

import json
import re
from dataclasses import asdict, replace
from functools import partial

import nbformat
import pytest
import torch
from reading import NOTEBOOKS, cells
from small import SMALL, same
from tiny import tiny

from mstlib import data
from mstlib.checkpoints import load_shipped, manifest, save_shipped
from mstlib.convert import convert
from mstlib.masking import Masking
from mstlib.simulate import simulate
from mstlib.studies import students
from mstlib.studies.records import Table
from mstlib.studies.students import (
    TEACHERS,
    Case,
    cases,
    find,
    measure,
    recipe,
    results,
    whole_test,
)
from mstlib.train import STUDENTS, Distillation, teach

EVERY = pytest.mark.parametrize("teacher", TEACHERS)
TINY = Distillation("mst-digits", epochs=1)
HALF = Masking(attention=0.5)
NAMES = ("mst-digits", "mst-digits-control")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """What tiny students get trained, (masking, lesion, seed), and the folder of their results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(teach.RECIPES, "mst-digits", SMALL)
    monkeypatch.setattr(students, "STUDENTS", {"mst-digits-control": TINY})
    for name, value in (("STEPS", (2, 4)), ("IMAGES", 20), ("RUNS", 2)):
        monkeypatch.setattr(students, name, value)
    whole = tiny(in_channels=1, image_size=32, patch_size=8)
    monkeypatch.setattr(students, "load_shipped", lambda name: whole)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(students, "TEACHERS", ("mst-digits",))
    monkeypatch.setitem(students.TABLES, "mst-digits", Table(folder / "students.json"))
    monkeypatch.setattr(students, "save_shipped", partial(save_shipped, folder=folder))
    taught, real = [], students.distil

    def distil(teacher, how, seed, **options):
        taught.append((how.masking, how.lesion, seed))
        return real(teacher, how, seed, **options)

    def run(chosen):
        monkeypatch.setattr(students, "cases", lambda teacher: chosen)
        students.run()

    monkeypatch.setattr(students, "distil", distil)
    monkeypatch.setattr(students, "WHOLE", Table(folder / "whole.json", recipe=("sha256",)))
    monkeypatch.setattr(students, "manifest", lambda: {name: {"sha256": "some"} for name in NAMES})
    monkeypatch.setattr(students, "_on_all_digits", lambda name: {"accuracy": 0.5})
    return taught, folder, run


def test_stored_rows_are_not_trained_again(small):
    taught, folder, run = small
    chosen = [
        Case(Masking()),
        Case(HALF),
        Case(HALF, tuned=False),
        Case(Masking(), options={"lesion": "scores"}),
    ]
    run(chosen)
    assert taught == [(Masking(), None, 0), (HALF, None, 0), (Masking(), "scores", 0)]
    rows = results("mst-digits")
    assert [row["tuned"] for row in rows] == [True, True, False, True]
    assert set(load_shipped("mst-digits-control", folder).state_dict())  # shipped as it came

    before = (folder / "students.json").read_text()
    run(chosen)
    assert len(taught) == 3
    assert (folder / "students.json").read_text() == before

    rows[1]["recipe"]["rate"] = 1.0  # as if an older recipe had made it
    (folder / "students.json").write_text(json.dumps(rows))
    run(chosen)
    again = results("mst-digits")
    assert len(again) == 4
    assert find(again, HALF) == find(json.loads(before), HALF)  # from the weights that were kept
    assert len(taught) == 3


def test_another_seed_has_a_teacher_of_its_own(small, monkeypatch):
    taught, folder, run = small
    teachers, real = [], students.train
    monkeypatch.setattr(
        students, "train", lambda how, seed, **o: teachers.append(seed) or real(how, seed, **o)
    )
    run([Case(Masking(), seed=1), Case(HALF, seed=1)])
    assert teachers == [1]
    assert [seed for _, _, seed in taught] == [1, 1]
    assert not (folder / "manifest.json").exists()  # only students of seed 0 are shipped


def test_a_row_holds_what_a_simulation_gives(small):
    """Accuracies, spikes and lesions of one row, computed again by other means."""
    model = load_shipped("mst-digits")
    row = measure(model, "digits", HALF)
    x, y = data.load("digits", "test", 20)
    run = simulate(convert(model), x, 4, HALF, seed=1)
    assert row["snn"]["2"][1] == pytest.approx(float(run.accuracy(y)[1]), abs=1e-4)
    assert row["snn"]["4"][1] == pytest.approx(float(run.accuracy(y)[3]), abs=1e-4)
    assert len(row["qcfs"]) == len(row["snn"]["4"]) == 2

    first = simulate(convert(model), x, 4, HALF, seed=0)
    assert sum(row["emitted"].values()) * 20 * 4 == pytest.approx(
        sum(first.spike_counts.values()), rel=1e-4
    )
    q = sum(n for name, n in first.spike_counts.items() if name.endswith("q_if"))
    passed = sum(n for name, n in first.delivered.items() if name.endswith("q_mask"))
    assert row["emitted"]["q"] == pytest.approx(q / 80, abs=1e-3)
    assert row["delivered"]["q"] == pytest.approx(passed / 80, abs=1e-3)
    assert row["power"] == first.power()
    assert 0.2 < row["snn"]["4"][1] < 1  # something to be wrong about
    for kind in ("v", "mlp", "other"):
        assert row["delivered"][kind] == row["emitted"][kind]


def test_a_lasting_lesion_lasts_through_the_measurement(small):
    model = load_shipped("mst-digits")
    whole, row = (measure(model, "digits", Masking(), lasting=kind) for kind in (None, "scores"))
    assert row["emitted"]["a"] > 0  # neurons fire; the lesion silences what they say
    assert row["scores"] == row["snn"]["4"][0] == whole["scores"]
    assert row["qcfs"][0] < whole["qcfs"][0]


def test_unknown_sweeps_and_rows_are_named():
    with pytest.raises(ValueError, match="no sweep of 'mst-letters'; there are: mst-digits"):
        cases("mst-letters")
    with pytest.raises(LookupError, match=r"no stored result for .*'attention': 0.5"):
        find([], HALF)


# What is stored with the package.


def test_all_that_is_to_be_measured_is_stored_so_that_nothing_is_trained(monkeypatch):
    tables = [*students.TABLES.values(), students.WHOLE]
    before = [table.path.read_bytes() for table in tables]
    for name in ("load_shipped", "train", "distil", "measure"):
        monkeypatch.setattr(students, name, None)
    students.run()
    assert [table.path.read_bytes() for table in tables] == before


@EVERY
def test_every_case_is_stored_with_the_recipe_of_the_code(teacher):
    rows = results(teacher)
    for case in cases(teacher):
        row = find(rows, case.masking, case.tuned, case.seed, **case.options)
        assert row["recipe"] == json.loads(json.dumps(asdict(recipe(teacher, case))))
    assert len(rows) == len(cases(teacher))


@EVERY
def test_no_masked_row_stands_without_lesions_and_a_control(teacher):
    """Without them a robust network cannot be told from one that does not need what is masked."""
    rows = results(teacher)
    blind = [row for row in rows if row["recipe"]["lesion"] == "scores"]
    for row in rows:
        assert 0 <= row["branch"] <= 1
        assert 0 <= row["scores"] <= 1
        controls = [
            other
            for other in rows
            if not any(other["masking"].values())
            and (other["tuned"], other["seed"]) == (row["tuned"], row["seed"])
            and set(other["options"]) <= {"epochs"}
        ]
        epochs = row["recipe"]["epochs"]
        assert any(other["recipe"]["epochs"] >= epochs for other in controls), row["options"]
        assert any(other["recipe"]["epochs"] >= epochs for other in blind)


@EVERY
def test_rows_are_complete_and_plausible(teacher):
    for row in results(teacher):
        every = [row["qcfs"], *row["snn"].values()]
        assert set(row["snn"]) == {"8", "16", "32", "64"}
        assert all(len(runs) == 10 and all(0 <= a <= 1 for a in runs) for runs in every)
        for kind, spikes in row["emitted"].items():
            assert 0 <= row["delivered"][kind] <= spikes
        total = 1000 * sum(row["emitted"].values())
        assert row["power"] == pytest.approx(total, rel=1e-4)


@EVERY
def test_masks_drop_the_share_they_say(teacher):
    for row in results(teacher):
        masking = row["masking"]
        if masking["blocks"] is not None or isinstance(masking["attention"], list):
            continue
        for ratio, kinds in ((masking["attention"], "qka"), (masking["mlp"], ("mlp",))):
            for kind in kinds:
                sent, got = row["emitted"][kind], row["delivered"][kind]
                assert got == pytest.approx((1 - ratio) * sent, rel=0.02)


def test_shipped_students_are_those_of_the_sweep():
    ours = {name: how for name, how in STUDENTS.items() if how.teacher in TEACHERS}
    assert len(ours) == 10
    for name, how in ours.items():
        found = find(results(how.teacher), how.masking)
        assert found["recipe"] == json.loads(json.dumps(asdict(how)))
        student = load_shipped(name)
        assert student.trained_masking == (how.masking or None)
        assert not same(student, load_shipped(how.teacher))


def test_one_stored_cell_is_computed_again():
    """A masked student's accuracy in spikes, the run of seed 3, within an image in 150."""
    masking = Masking(attention=0.75)
    row = find(results("mst-digits"), masking)
    x, y = data.load("digits", "test", 150)
    with torch.no_grad():
        run = simulate(convert(load_shipped("mst-digits-attention-75")), x, 16, masking, seed=3)
    assert float(run.accuracy(y)[15]) == pytest.approx(row["snn"]["16"][3], abs=1.01 / 150)
    assert float(run.accuracy(y)[7]) == pytest.approx(row["snn"]["8"][3], abs=1.01 / 150)


def test_whole_test_set_is_stored_for_the_weights_that_are_shipped():
    rows = {row["name"]: row for row in whole_test()}
    assert set(rows) == {"mst-digits", *(n for n in STUDENTS if n.startswith("mst-digits"))}
    for name, row in rows.items():
        assert row["sha256"] == manifest()[name]["sha256"]
        assert (row["images"], row["steps"]) == (547, 64)
    assert rows["mst-digits-attention-75"]["accuracy"] > rows["mst-digits"]["accuracy"] - 0.005


def test_options_change_the_recipe():
    case = Case(Masking(attention=0.75), options={"draws": 4, "epochs": 2})
    usual = STUDENTS["mst-scenes-attention-75"]
    assert recipe("mst-scenes", case) == replace(usual, draws=4, epochs=2)


def test_no_chapter_shows_masked_attention_without_its_lesions():
    """Each prints what is left with A = 0, without the branch, and after training without A."""
    shown = [
        path.name
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if re.search(r"attention-75|table3.json|\bsweeps", "\n".join(cells(path.name, "code")))
    ]
    assert [name[:2] for name in shown] == ["07", "08", "09", "10"]
    for name in shown:
        printed = "".join(
            output.get("text", "")
            for cell in nbformat.read(NOTEBOOKS / name, as_version=4).cells
            for output in cell.get("outputs", [])
        )
        for lesion in ("A = 0", "branch", r"A ≡ 0|retrained with A = 0"):
            assert re.search(lesion, printed), (name, lesion)
        assert "control" in "\n".join(cells(name, "code")), name
