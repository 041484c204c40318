"""Sweeps over masks: every cell measured once, whatever interrupts."""

import json

import pytest
from tiny import tiny

from mstlib import Masking
from mstlib.checkpoints.hub import save_model
from mstlib.cli import main
from mstlib.scale.evaluate import evaluate
from mstlib.scale.grid import Cell, cells, sweep
from mstlib.scale.task import Task

TASK = Task("digits", images=20)


@pytest.fixture(scope="module")
def small():
    return tiny(image_size=32, patch_size=8, in_channels=1)


def test_the_grid_has_every_cell_and_one_without_masks():
    grid = cells(("attention", "mlp"), (0, 0.5, 0.75), (0, 1))
    assert grid[0] == Cell("attention", 0, 0)
    assert len(grid) == len({cell.name for cell in grid}) == 1 + 2 * 2 * 2
    assert all(cell.masking == Masking(**{cell.kind: cell.ratio}) for cell in grid)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ((["heads"], [0.5], [0]), "kind must be one of"),
        ((["mlp"], [], [0]), "at least one"),
        ((["mlp"], [0.5, 1.0], [0]), r"ratio must be in \[0, 1\), not 1.0"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        cells(*axes)


def test_each_cell_is_the_evaluation_of_its_masks(small, tmp_path):
    grid = cells(("attention",), (0, 0.5), (0, 1))
    told = []
    rows = sweep(lambda cell: small, TASK, grid, (2, 6), tmp_path, tell=told.append)
    assert rows == told
    assert [(r.kind, r.ratio, r.seed) for r in rows] == [
        ("attention", 0, 0),
        ("attention", 0.5, 0),
        ("attention", 0.5, 1),
    ]
    alone = evaluate(
        small, Task("digits", images=20, steps=6, masking=Masking(attention=0.5), seed=1)
    )
    assert rows[2].accuracy == {2: alone.accuracy[1], 6: alone.accuracy[5]}
    assert rows[2].emitted == sum(alone.spike_counts.values()) / (6 * 20)
    assert rows[1].emitted != rows[2].emitted


def test_a_cell_that_is_known_is_not_simulated_again(small, tmp_path, monkeypatch):
    first = sweep(lambda cell: small, TASK, cells(["mlp"], [0.5], [0]), (4,), tmp_path)

    def never(*args, **kwargs):
        raise AssertionError("simulated again")

    monkeypatch.setattr("mstlib.scale.evaluate.simulate", never)
    assert sweep(lambda cell: small, TASK, cells(["mlp"], [0.5], [0]), (4,), tmp_path) == first
    with pytest.raises(AssertionError, match="simulated again"):
        sweep(lambda cell: small, TASK, cells(["mlp"], [0.25], [0]), (4,), tmp_path)


@pytest.mark.parametrize("steps", [(), (0, 4)])
def test_steps_must_be_positive(small, tmp_path, steps):
    with pytest.raises(ValueError, match="steps must be whole numbers >= 1"):
        sweep(lambda cell: small, TASK, cells(["mlp"], [0.5], [0]), steps, tmp_path)


@pytest.mark.filterwarnings("ignore:this network was trained with")
def test_the_command_prints_a_table_and_takes_students(small, tmp_path, capsys):
    save_model(small, tmp_path / "teacher")
    student = tiny(seed=1, image_size=32, patch_size=8, in_channels=1)
    save_model(student, tmp_path / "attention-50")
    words = f"sweep {tmp_path / 'teacher'} --data digits --images 20 --steps 2 6 --ratios 0 0.5"
    words += f" --students {tmp_path}/{{kind}}-{{percent}} --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["kind", "ratio", "seed"]
    assert "T = 2" in lines[0]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["attention", "0.00", "0"],
        ["attention", "0.50", "0"],
    ]
    assert main([*words.split(), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    alone = evaluate(student, Task("digits", images=20, steps=6, masking=Masking(attention=0.5)))
    assert rows[1]["accuracy"] == {"2": alone.accuracy[1], "6": alone.accuracy[5]}
    assert main([*words.split(), "--ratios", "0.9"]) == 2
    assert "attention-90" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--students x{foo}", "only {kind} and {percent} can be filled in"),
        ("--students x{0}", "only {kind} and {percent} can be filled in"),
        ("--students x{", "only {kind} and {percent} can be filled in"),
        ("--students x{kind.y}", "only {kind} and {percent} can be filled in"),
        ("--students x{kind[y]}", "only {kind} and {percent} can be filled in"),
        ("--steps 0", "steps must be whole numbers >= 1, not [0]"),
        ("--ratios 0.5 1.0", "ratio must be in [0, 1), not 1.0"),
        ("--seeds 0", "at least one kind, one ratio and one seed"),
        ("--images 10000000", "n must be at most"),
    ],
)
def test_bad_words_are_refused_before_anything_is_printed(small, tmp_path, capsys, words, message):
    network = save_model(small, tmp_path / "net")
    asked = f"sweep {network} --data digits --images 4 --steps 2 --out {tmp_path / 'out'} {words}"
    assert main(asked.split()) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err
