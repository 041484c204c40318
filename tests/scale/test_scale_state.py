"""States on disk: whole or not there, of this training or refused."""

import errno
import os
import resource
import signal
import time
from contextlib import contextmanager, suppress

import pytest
import torch
from interrupted import child
from tiny import tiny

from mstlib.scale import state
from mstlib.scale.metrics import Metrics, read_metrics
from mstlib.scale.state import StateError


def _content(value=0.0, **identity):
    return {"identity": {"seed": 0, "data": "moons", **identity}, "x": torch.full((1000,), value)}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "state.pt"
    assert state.read(path, {}) is None
    state.write(path, _content(1.0))
    state.write(path, _content(2.0))
    assert float(state.read(path, _content()["identity"])["x"][0]) == 2.0
    assert os.listdir(tmp_path) == ["state.pt"]


def test_another_trainings_state_is_refused_by_name(tmp_path):
    path = tmp_path / "state.pt"
    state.write(path, _content(**{"optimiser.rate": 1e-4}))
    with pytest.raises(StateError) as refused:
        state.read(path, {"seed": 3, "data": "moons", "optimiser.rate": 1e-4})
    assert "is the state of another training (seed: 0 there, 3 now)" in str(refused.value)
    with pytest.raises(StateError, match=r"data: 'moons' there, 'stars' now; optimiser\.rate"):
        state.read(path, {"seed": 0, "data": "stars", "optimiser.rate": 1e-3})


class _Hostile:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (self.file, "w"))


def test_a_damaged_or_hostile_state_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    state.write(path, _content())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateError, match=r"not the state of a training, or was damaged .*move it"):
        state.read(path, _content()["identity"])
    for content in (_Hostile(str(tmp_path / "written")), [1], {"x": 1}, {"identity": 3}):
        torch.save(content, path)
        with pytest.raises(StateError, match="is not the state of a training"):
            state.read(path, {})
    assert not (tmp_path / "written").exists()


@pytest.fixture
def small_files():
    """Files may have 64 kB: the system refuses the rest, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_old_state_and_says_how_to_go_on(tmp_path, small_files):
    path = tmp_path / "state.pt"
    state.write(path, _content(1.0))
    before = path.read_bytes()
    with pytest.raises(StateError, match="File too large") as refused:
        state.write(path, {"identity": {}, "x": torch.zeros(10**6)})
    said = f"{path} still holds the state before: make room and run the same command again"
    assert said in str(refused.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.pt"]


def test_no_space_left_is_said_so(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state.pt"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StateError, match=r"\[Errno 28\] No space left on device\); there is no old"
    ):
        state.write(path, _content())
    assert os.listdir(tmp_path) == []


def test_a_worker_that_dies_meanwhile_is_no_trouble_of_the_disk(tmp_path, monkeypatch):
    def told(content, file):
        raise RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed.")

    monkeypatch.setattr(torch, "save", told)
    with pytest.raises(RuntimeError, match=r"^DataLoader worker"):
        state.write(tmp_path / "state.pt", _content())
    assert os.listdir(tmp_path) == []


def test_a_rehearsal_writes_a_state_of_full_size_and_removes_it(tmp_path, monkeypatch):
    model, path, sizes = tiny(), tmp_path / "new" / "out" / "state.pt", []
    monkeypatch.setattr(os, "replace", lambda a, b: (sizes.append(a.stat().st_size), a.rename(b)))
    size = state.rehearse(path, model)
    assert os.listdir(path.parent) == []
    assert sizes == [size]
    optimiser = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimiser.step()
    content = {"identity": {}, "model": model.state_dict(), "optimiser": optimiser.state_dict()}
    state.write(path, content)
    assert sizes[1] == pytest.approx(size, rel=0.3)  # small tensors: names weigh, too


def test_what_cannot_hold_the_states_is_told_before_training(tmp_path, monkeypatch):
    model = tiny()
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StateError, match=r"cannot hold the states of this training, of [\d,]+ byte"
    ):
        state.rehearse(tmp_path / "file" / "state.pt", model)
    usage = state.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(state.shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(
        StateError, match=r"100,000 bytes are free and [\d,]+ needed. Nothing was t"
    ):
        state.rehearse(tmp_path / "state.pt", model)
    assert os.listdir(tmp_path) == ["file"]


@contextmanager
def _training_in(folder):
    """Let another process hold a folder, and one that it forked, as a loader forks its workers.

    Yields the numbers of the two.
    """
    heard, told = os.pipe()

    def hold():
        with state.alone(folder):
            worker = child(time.sleep, 60)
            os.write(told, str(worker).encode())
            time.sleep(60)

    holder = child(hold)
    worker = int(os.read(heard, 20))
    try:
        yield holder, worker
    finally:
        os.kill(worker, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
        os.close(heard)
        os.close(told)


def test_a_folder_is_for_one_process_at_a_time(tmp_path):
    with (
        _training_in(tmp_path),
        pytest.raises(StateError, match="another process is training in"),
        state.alone(tmp_path),
    ):
        pass
    with state.alone(tmp_path):
        pass


def test_a_killed_training_frees_its_folder_though_its_workers_live(tmp_path):
    with _training_in(tmp_path) as (holder, worker):
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        os.kill(worker, 0)  # it is there
        with state.alone(tmp_path):
            pass


def test_a_full_disk_in_the_metrics_is_told_by_name(tmp_path, small_files):
    row = {"phase": "relu", "update": 1, "loss": 2.0, "more": "x" * 1000}
    said = r"metrics\.jsonl \(.*File too large\); the last whole state is kept: make room"

    def fill(rows, kept=(), trouble=None):
        with Metrics(tmp_path) as metrics:
            for number in range(rows):
                metrics.add(row)
                if number in kept:
                    metrics.keep()
            if trouble:
                raise trouble

    with pytest.raises(StateError, match=said):
        fill(100)
    with pytest.raises(StateError, match=said):
        fill(100, range(100))
    with pytest.raises(StateError, match=said):
        fill(63, [59])  # when it is closed
    with pytest.raises(ZeroDivisionError):  # the first trouble is the one to tell
        fill(63, [59], ZeroDivisionError())


def test_metrics_are_json(tmp_path):
    """JSON has no infinity; Python's reader lets it pass, and others do not."""
    with Metrics(tmp_path) as metrics:
        metrics.add({"phase": "relu", "loss": 1.0, "gradient": float("inf"), "rate": float("nan")})
    (row,) = read_metrics(tmp_path)
    assert row == {"phase": "relu", "loss": 1.0, "gradient": None, "rate": None}
