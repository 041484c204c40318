"""The state of a training on disk, from which it goes on as if nothing had happened.

A state is written beside the old one, forced to the disk, and then takes the old one's name in a
single step. Whenever the process ends, by ``kill -9`` or with the power, there is one whole state.
"""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from mstlib.scale.differences import differences

STATE = "state.pt"


class StateError(OSError):
    """A state cannot be written or read, or is of another training."""


def write(path: Path, content: dict[str, object]) -> None:
    """Write a state whole or not at all.

    Args:
        path: Its file; an older state there is replaced.
        content: Tensors and plain containers.

    Raises:
        StateError: the disk is full, or the folder cannot be written to. An older state stays.
        RuntimeError: anything else went wrong meanwhile, such as the death of a loader's worker.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as trouble:  # PyTorch's writer turns the first into the second
        partial.unlink(missing_ok=True)
        disk = _of_the_disk(trouble)
        if disk is None:
            raise
        kept = (
            f"{path} still holds the state before: make room and run the same command again, which "
            "goes on from there"
            if path.exists()
            else "there is no older one"
        )
        raise StateError(f"cannot write the state to {path} ({_reason(disk)}); {kept}") from None


def read(path: Path, identity: dict[str, object]) -> dict[str, object] | None:
    """Read a state, if there is one; nothing in the file is executed.

    Args:
        path: Its file.
        identity: What decides the training, as JSON would hold it. The state must have been written
            for the same.

    Raises:
        StateError: the file is damaged or holds something else, or is the state of another
            training; the message names each thing that differs.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = dict(content["identity"])
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as e:
        raise StateError(
            f"{path} is not the state of a training, or was damaged after it was written "
            f"({_reason(e)}); move it away to begin anew"
        ) from None
    differing = differences(known, identity)
    if differing:
        raise StateError(
            f"{path} is the state of another training ({differing}). Ask for that one "
            "to go on with it, or name another folder"
        )
    return content


def rehearse(path: Path, model: nn.Module) -> int:
    """Write a state of full size, read it, and remove it: before an hour of work depends on it.

    Args:
        path: Where the states will be; the rehearsal's file lies beside it.
        model: The network; its optimiser will hold two more numbers for each of its parameters.

    Returns:
        The size of a state, in bytes.

    Raises:
        StateError: the folder cannot be made or written to, or has no room for two states, which
            are there while a new one is written.
    """
    moments = [p.detach().clone() for p in model.parameters() for _ in range(2)]
    content = {"identity": {}, "model": model.state_dict(), "moments": moments}
    size = sum(t.nbytes for t in (*content["model"].values(), *moments))
    probe = path.with_name("rehearsal.pt")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        needed = size if path.exists() else 2 * size
        if free < needed:
            raise OSError(errno.ENOSPC, f"{free:,} bytes are free and {needed:,} needed")
        write(probe, content)
        read(probe, {})
        return probe.stat().st_size
    except OSError as trouble:
        raise StateError(
            f"the folder {path.parent} cannot hold the states of this training, of {size:,} bytes "
            f"each: {_reason(trouble)}. Nothing was trained yet"
        ) from None
    finally:
        if path.parent.is_dir():
            probe.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a folder to one process while a ``with`` block runs; any end of the process frees it.

    The lock is of the kind that forked processes do not inherit: workers that load images may
    outlive a killed training by some seconds, and would hold it all that time.

    Raises:
        StateError: another process is training there.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two trainings in one folder are not noticed there
        yield
        return
    with (folder / "lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateError(f"another process is training in {folder}") from None
        yield


def _sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the system has a way to."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _of_the_disk(trouble: BaseException | None) -> OSError | None:
    """Return the error of the disk that an error is, or that another one came of."""
    while trouble is not None and not isinstance(trouble, OSError):
        trouble = trouble.__context__
    return trouble


def _reason(trouble: Exception) -> str:
    return str(trouble).split("\n")[0] or type(trouble).__name__
