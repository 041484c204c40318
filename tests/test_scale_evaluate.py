"""Evaluation in pieces: the same whole numbers, however it is cut, and after interruptions."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny import tiny

import mstlib
from mstlib import Masking, data
from mstlib.data import standins
from mstlib.energy import power, spikes_by_module
from mstlib.hub import save_model
from mstlib.scale import evaluate as module
from mstlib.scale.evaluate import BLOCK, EvaluationError, Task, evaluate

TASK = Task("digits", images=3 * BLOCK + 5, steps=6, masking=Masking(attention=0.5), seed=3)


@pytest.fixture(scope="module")
def small():
    return tiny(image_size=32, patch_size=8, in_channels=1)


@pytest.fixture(scope="module")
def whole(small):
    return evaluate(small, TASK)


def launched(rank, world, monkeypatch):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setattr("accelerate.PartialState.wait_for_everyone", lambda self: None)
    monkeypatch.setattr("accelerate.PartialState.__init__", lambda self: None)


def test_it_counts_what_a_simulation_counts(small, whole):
    small = small.double()
    images, labels = data.load("digits", "test", TASK.images)
    run = mstlib.simulate(mstlib.convert(small), images, 6, TASK.masking, 3)
    tally = evaluate(small, TASK)
    small.float()
    assert tally.accuracy == pytest.approx(run.accuracy(labels).tolist())
    assert tally.spike_counts == run.spike_counts
    assert tally.delivered == run.delivered
    assert tally.firing_rates == pytest.approx(run.firing_rates)
    assert power(tally) == run.power()
    assert spikes_by_module(tally) == spikes_by_module(run)
    assert (tally.images, tally.steps, tally.classes) == (TASK.images, 6, 10)
    assert whole.images == tally.images


def test_two_processes_count_exactly_what_one_counts(small, whole):
    assert evaluate(small, TASK, processes=2) == whole


@pytest.mark.parametrize("world", [2, 3])
def test_the_processes_of_a_launch_count_exactly_what_one_counts(
    small, whole, tmp_path, monkeypatch, world
):
    for rank in range(1, world):
        with monkeypatch.context() as patch:
            launched(rank, world, patch)
            mine = evaluate(small, TASK, tmp_path)
            assert mine.images < TASK.images
    launched(0, world, monkeypatch)
    assert evaluate(small, TASK, tmp_path) == whole


def test_fewer_blocks_than_processes(small, tmp_path, monkeypatch):
    few = Task("digits", images=BLOCK, steps=2)
    with monkeypatch.context() as patch:
        launched(1, 2, patch)
        with pytest.raises(EvaluationError, match="no block of 1 is left for process 1"):
            evaluate(small, few, tmp_path)
    launched(0, 2, monkeypatch)
    assert evaluate(small, few, tmp_path).images == BLOCK


def test_an_interrupted_one_goes_on(small, whole, tmp_path, monkeypatch):
    simulate, done = module.simulate, []

    def dies(*args, **kwargs):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(kwargs["first"])
        return simulate(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, "simulate", dies)
        with pytest.raises(KeyboardInterrupt):
            evaluate(small, TASK, tmp_path)
    part = tmp_path / "part-0.jsonl"
    part.write_bytes(part.read_bytes()[:-40])  # as if it had been killed while it wrote the second
    done.clear()

    def counted(*args, **kwargs):
        done.append(kwargs["first"])
        return simulate(*args, **kwargs)

    monkeypatch.setattr(module, "simulate", counted)
    assert evaluate(small, TASK, tmp_path) == whole
    assert done == [BLOCK, 2 * BLOCK, 3 * BLOCK]
    done.clear()
    assert evaluate(small, TASK, tmp_path) == whole
    assert not done


def test_what_a_dead_process_left_out_is_said(small, tmp_path, monkeypatch):
    launched(0, 2, monkeypatch)
    with pytest.raises(EvaluationError, match=r"2 of 4 blocks are missing.*same command again"):
        evaluate(small, TASK, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 5}, "steps: 6 there, 5 now"),
        ({"masking": Masking(mlp=0.5)}, "masking: .* there"),
        ({"seed": 4}, "seed: 3 there, 4 now"),
        ({"images": 4}, "images: 53 there, 4 now"),
    ],
)
def test_another_task_in_the_folder_is_refused(small, tmp_path, change, message):
    from dataclasses import replace

    tiny_task = replace(TASK, images=53)
    module._claim(tmp_path, small, tiny_task, 53)
    with pytest.raises(EvaluationError, match=message):
        evaluate(small, replace(tiny_task, **change), tmp_path)


def test_another_network_in_the_folder_is_refused(small, tmp_path):
    module._claim(tmp_path, small, TASK, TASK.images)
    other = tiny(seed=1, image_size=32, patch_size=8, in_channels=1)
    with pytest.raises(EvaluationError, match=r"network: .* there"):
        evaluate(other, TASK, tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(EvaluationError, match="is damaged"):
        evaluate(small, TASK, tmp_path)


def test_a_process_that_fails_ends_it_with_its_reason(small, monkeypatch):
    from torch import multiprocessing

    def spawn(function, arguments, processes):
        trace = "\n\n-- Process 1 terminated --\nTraceback:\nValueError: no 'conv' masks"
        raise (
            multiprocessing.ProcessRaisedException(trace, 1, 99)
            if arguments[1].masking
            else multiprocessing.ProcessExitedException("signal SIGKILL", 1, 99, -9)
        )

    monkeypatch.setattr(multiprocessing, "spawn", spawn)
    with pytest.raises(EvaluationError, match="a process failed: ValueError: no 'conv' masks"):
        evaluate(small, Task("digits", images=4, masking=Masking(conv=0.5)), processes=2)
    with pytest.raises(EvaluationError, match=r"a process ended early \(signal SIGKILL"):
        evaluate(small, Task("digits", images=4), processes=2)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"processes": 0}, "at least 1"), ({"workers": -1}, "workers at least 0")],
)
def test_bad_numbers_are_refused(small, more, message):
    with pytest.raises(ValueError, match=message):
        evaluate(small, TASK, **more)


def test_a_launch_needs_a_folder_and_no_processes_of_its_own(small, tmp_path, monkeypatch):
    launched(0, 2, monkeypatch)
    with pytest.raises(EvaluationError, match="meet in a folder"):
        evaluate(small, TASK)
    with pytest.raises(EvaluationError, match="has processes already"):
        evaluate(small, TASK, tmp_path, processes=2)


@pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
def test_downloaded_sets_are_read_in_the_order_of_load(tmp_path):
    standins.write("cifar10", tmp_path, 40, 30)
    task = Task("cifar10", tmp_path, images=20, size=64)
    images, labels = data.load("cifar10", "test", 20, root=tmp_path)
    pairs = [task.samples()[i] for i in range(20)]
    assert [label for _, label in pairs] == labels.tolist()
    assert pairs[0][0].shape == (3, 64, 64)
    small = torch.nn.functional.interpolate(pairs[0][0][None], (32, 32), mode="area")
    assert (small[0] - images[0]).abs().mean() < 0.15
    standins.write("n-cars", tmp_path)
    task = Task("n-cars", tmp_path, size=64, side=16)
    image, label = task.samples()[0]
    assert image.shape == (16, 64, 64)
    assert torch.equal(image[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2), image)
    assert label == data.load("n-cars", "test", root=tmp_path)[1][0]


@pytest.mark.parametrize("name", ["digits", "scenes"])
def test_drawn_sets_are_those_of_load(name):
    images, labels = data.load(name, "test", 5)
    pairs = list(Task(name, images=5).samples())
    assert torch.equal(torch.stack([x for x, _ in pairs]), images)
    assert [int(y) for _, y in pairs] == labels.tolist()


def test_a_launcher_starts_it_in_many_processes(small, whole, tmp_path):
    """PyTorch's, which Accelerate's calls for GPUs; two processes meet by gloo."""
    network = save_model(small, tmp_path / "net")
    words = f"evaluate {network} --data digits --images {TASK.images} --steps 6 --seed 3"
    words += f" --mask attention=0.5 --json --out {tmp_path / 'out'}"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "-m", "mstlib.cli", *words.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["accuracy_by_step"] == [round(a, 6) for a in whole.accuracy]
    assert report["spikes_by_module"] == spikes_by_module(whole)
    assert {path.name for path in (tmp_path / "out").glob("part-*")} == {
        "part-0.jsonl",
        "part-1.jsonl",
    }
