"""Evaluation in pieces: the same whole numbers, however it is cut, and after interruptions."""

import errno
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch
from tiny import tiny

import mstlib
from mstlib import Masking, data
from mstlib.checkpoints.hub import save_model
from mstlib.cli import main
from mstlib.data import standins
from mstlib.data.checks import shuffled
from mstlib.energy import power, spikes_by_module
from mstlib.models.build import build
from mstlib.scale import evaluate as module
from mstlib.scale import kept
from mstlib.scale.batches import SampleError
from mstlib.scale.evaluate import evaluate
from mstlib.scale.kept import BLOCK, EvaluationError
from mstlib.scale.task import Task

TASK = Task("digits", images=3 * BLOCK + 5, steps=6, masking=Masking(attention=0.5), seed=3)


@pytest.fixture(scope="module")
def small():
    return tiny(image_size=32, patch_size=8, in_channels=1)


@pytest.fixture(scope="module")
def whole(small):
    return evaluate(small, TASK)


FORK = multiprocessing.get_context("fork")  # what a test has imported and made is there at once
forks = pytest.mark.filterwarnings("ignore:.*use of fork")


def at_once(count, work):
    """What `work(number)` returns, or the text of its error, in that many processes at once."""
    results = FORK.SimpleQueue()

    def put(number):
        try:
            results.put((number, work(number)))
        except ValueError as trouble:
            results.put((number, f"{type(trouble).__name__}: {trouble}"))

    processes = [FORK.Process(target=put, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(60)
            assert process.exitcode is not None, "it hangs"
    finally:
        for process in processes:
            process.kill()  # or the tests would wait for it at their end
    found = {}
    while not results.empty():
        found |= [results.get()]
    return [found.get(number, "it died") for number in range(count)]


def launched(world, work):
    """The same in the processes of a launch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def rank(number):
        os.environ |= {"RANK": str(number), "WORLD_SIZE": str(world)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return work(number)

    return at_once(world, rank)


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


@pytest.fixture
def forked(monkeypatch):
    """Processes start as copies of this one; what they are told is packed all the same."""

    def spawn(function, arguments, processes, join):
        function, arguments = ForkingPickler.loads(ForkingPickler.dumps((function, arguments)))
        start = torch.multiprocessing.start_processes
        return start(function, arguments, processes, join, start_method="fork")

    monkeypatch.setattr("torch.multiprocessing.spawn", spawn)


@forks
def test_two_processes_count_exactly_what_one_counts(small, whole, forked):
    assert evaluate(small, TASK, processes=2) == whole


@forks
@pytest.mark.parametrize(
    ("world", "images"),
    [(2, 2 * BLOCK + 5), (3, TASK.images), (3, 5)],
    ids=["more blocks", "one has two", "two have none"],
)
def test_the_processes_of_a_launch_count_exactly_what_one_counts(small, tmp_path, world, images):
    task = replace(TASK, images=images)
    found = launched(world, lambda rank: evaluate(small, task, tmp_path))
    assert found == [evaluate(small, task)] * world
    assert len(list(tmp_path.glob("part-*"))) == min(world, -(-images // BLOCK))


@forks
def test_more_processes_than_blocks(small, forked):
    few = replace(TASK, images=5)
    assert evaluate(small, few, processes=3) == evaluate(small, few)


@forks
@pytest.mark.parametrize(
    ("owner", "late"), [(module, "simulate"), (kept.Kept, "total")], ids=["share", "total"]
)
def test_the_processes_of_a_launch_wait_for_each_other(small, whole, tmp_path, owner, late):
    function, moments = getattr(owner, late), []

    def slowly(*args, **kwargs):
        time.sleep(0.4)
        result = function(*args, **kwargs)
        moments.append(time.monotonic())
        return result

    def work(rank):
        if rank:
            setattr(owner, late, slowly)
        return evaluate(small, TASK, tmp_path), [*moments, time.monotonic()]

    (first, (left,)), (second, (*_, ready, _)) = launched(2, work)
    assert first == second == whole
    assert left > ready


@forks
def test_a_launch_that_loses_a_process_says_how_to_go_on(small, whole, tmp_path):
    def work(rank):
        if rank:
            module.simulate = lambda *args, **kwargs: os._exit(1)
        return evaluate(small, TASK, tmp_path)

    told, died = launched(2, work)
    assert died == "it died"
    assert told.startswith("EvaluationError: another process of this launch has ended")
    assert f"kept in {tmp_path}, and the same command goes on" in told
    assert len(told.splitlines()) == 1
    assert evaluate(small, TASK, tmp_path) == whole


@forks
@pytest.mark.parametrize("same", [True, False])
def test_claims_at_once_do_no_harm(small, tmp_path, same):
    count, rounds = 6, 40
    together = FORK.Barrier(count)
    source = TASK.source()

    def work(number):
        told = []
        for turn in range(rounds):
            (tmp_path / str(turn)).mkdir(exist_ok=True)
            task = TASK if same else replace(TASK, seed=number)
            together.wait()
            try:
                told.append(kept.begin(tmp_path / str(turn), small, task, source).claim)
            except EvaluationError as trouble:
                told.append(str(trouble))
        return told

    for told in zip(*at_once(count, work), strict=True):
        refused = ["holds another evaluation (seed: " in text for text in told]
        assert sum(refused) == (0 if same else count - 1)
        assert len({text for text, no in zip(told, refused, strict=True) if not no}) == 1
    assert {path.name for path in tmp_path.glob("*/*")} == {"evaluation.json"}


@forks
def test_killed_inside_a_block_it_goes_on_with_another_number_of_processes(small, whole, tmp_path):
    simulate = module.simulate

    def dies(*args, **kwargs):
        if kwargs["first"] >= 2 * BLOCK:
            os.kill(os.getpid(), signal.SIGKILL)
        return simulate(*args, **kwargs)

    def killed(rank):
        module.simulate = dies
        return evaluate(small, TASK, tmp_path)

    assert launched(2, killed) == ["it died"] * 2
    lines = [path.read_bytes().count(b"\n") for path in tmp_path.glob("part-*")]
    assert lines == [1, 1]
    assert launched(3, lambda rank: evaluate(small, TASK, tmp_path)) == [whole] * 3


def test_it_computes_on_one_thread(small, monkeypatch):
    seen = []

    def look(*args, **kwargs):
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "simulate", look)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            evaluate(small, TASK)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert seen == [1]


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


def test_what_a_dead_process_left_out_is_said(small, tmp_path):
    known = kept.begin(tmp_path, small, TASK, TASK.source())
    module._share(small, TASK, TASK.source(), known, 1, 2)
    with pytest.raises(EvaluationError, match=r"2 of 4 blocks are missing.*same command again"):
        known.total()


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
    kept.begin(tmp_path, small, TASK, TASK.source())
    with pytest.raises(EvaluationError, match=message):
        evaluate(small, replace(TASK, **change), tmp_path)


def test_another_network_in_the_folder_is_refused(small, tmp_path):
    kept.begin(tmp_path, small, TASK, TASK.source())
    other = tiny(seed=1, image_size=32, patch_size=8, in_channels=1)
    same_weights = build(asdict(small.config) | {"residual": "norm"})
    same_weights.load_state_dict(small.state_dict())
    for network in (other, same_weights):
        with pytest.raises(EvaluationError, match=r"network: .* there"):
            evaluate(network, TASK, tmp_path)
    for text in ("{", "5", "null"):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(EvaluationError, match="is damaged"):
            evaluate(small, TASK, tmp_path)


@pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
def test_other_images_under_the_same_name_are_refused(tmp_path):
    model, out = tiny(image_size=32, patch_size=8), tmp_path / "out"
    for seed in (0, 1):
        standins.write("cifar10", tmp_path / str(seed), 10, 20, seed)
    task = Task("cifar10", tmp_path / "0", steps=2, size=32)
    whole = evaluate(model, task, out)
    with pytest.raises(EvaluationError, match=r"labels: \d+ there, \d+ now"):
        evaluate(model, replace(task, root=tmp_path / "1"), out)
    (tmp_path / "0").rename(tmp_path / "moved")
    assert evaluate(model, replace(task, root=tmp_path / "moved"), out) == whole


def test_lines_of_another_claim_and_lines_that_are_none_do_not_count(small, whole, tmp_path):
    evaluate(small, replace(TASK, seed=4), tmp_path / "other")
    lines = (tmp_path / "other" / "part-0.jsonl").read_text()
    old = [json.loads(line) for line in lines.splitlines()]
    for entry in old:
        del entry["claim"]  # as earlier versions wrote them
    (tmp_path / "part-7.jsonl").write_text(lines + "".join(f"{json.dumps(e)}\n" for e in old))
    (tmp_path / "part-8.jsonl").write_text('5\nnull\n[1]\n"text"\n{"claim": 1}\n')
    assert evaluate(small, TASK, tmp_path) == whole


@pytest.mark.parametrize("writes", [1, 3], ids=["the claim", "the second block"])
def test_a_full_disk_is_said_and_the_same_call_goes_on(small, whole, tmp_path, monkeypatch, writes):
    sync, left = os.fsync, [writes]

    def full(handle):
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(EvaluationError, match="make room, and the same command goes") as told:
            evaluate(small, TASK, tmp_path / "out")
    assert f"cannot write to {tmp_path / 'out'} (No space left on device)" in str(told.value)
    assert evaluate(small, TASK, tmp_path / "out") == whole
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match=r"cannot write to .*file \(File exists\)"):
        evaluate(small, TASK, tmp_path / "file")


@pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
def test_an_image_that_cannot_be_read_is_named_in_one_line(tmp_path, capfd):
    standins.write("imagenet", tmp_path, 1, 1)
    network = save_model(tiny(image_size=32, patch_size=8), tmp_path / "net")
    path, _ = Task("imagenet", tmp_path).samples().dataset.samples[int(shuffled(1000, 0)[3])]
    Path(path).write_bytes(b"no picture")
    for workers in (0, 1):
        words = f"evaluate {network} --data imagenet --root {tmp_path} --images 5 --steps 2"
        assert main([*words.split(), "--workers", str(workers)]) == 2
        told = capfd.readouterr().err
        assert told.startswith(f"mst: sample 3 of imagenet (test), {path}, cannot be read: ")
        assert len(told.splitlines()) == 1
    with pytest.raises(SampleError, match="sample 3 of imagenet"):
        module.correct(tiny(), Task("imagenet", tmp_path, images=5, size=16))


def test_where_each_sample_comes_from_is_known(tmp_path):
    source = replace(TASK, images=5).source()
    images, labels = data.load("digits", "test", 5)
    assert torch.equal(source.labels, labels)
    assert torch.equal(source.image(2), images[2])
    assert source.place(2) == "a tensor"
    with warnings.catch_warnings(action="ignore"):
        for name, place in (
            ("cifar10", r"image \d+ of the set's files"),
            ("n-cars", "recording 1"),
        ):
            standins.write(name, tmp_path, 20, 20)
            source = Task(name, tmp_path, size=16).source()
            assert re.fullmatch(place, source.place(1))
            pairs = [Task(name, tmp_path, size=16).samples()[i] for i in range(5)]
            assert source.labels[:5].tolist() == [label for _, label in pairs]
            assert torch.equal(source.image(1), pairs[1][0])


def test_a_process_that_fails_ends_it_with_its_reason(small, monkeypatch):
    from torch import multiprocessing

    class Started:
        def __init__(self, function, arguments, processes, join):
            self.masking, self.processes = arguments[1].masking, []

        def join(self):
            trace = "\n\n-- Process 1 terminated --\nTraceback:\nValueError: no 'conv' masks"
            raise (
                multiprocessing.ProcessRaisedException(trace, 1, 99)
                if self.masking
                else multiprocessing.ProcessExitedException("signal SIGKILL", 1, 99, -9)
            )

    monkeypatch.setattr(multiprocessing, "spawn", Started)
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
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
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
