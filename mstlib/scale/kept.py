"""The finished blocks of an evaluation, kept in a folder until all of them are there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from mstlib.checkpoints.files import write_new
from mstlib.checkpoints.state_dicts import fingerprint
from mstlib.data import standins
from mstlib.scale.batches import Source
from mstlib.scale.differences import differences
from mstlib.scale.tally import Tally
from mstlib.scale.task import Task

BLOCK = 16  # images: as many as the engine simulates at once
_TASK = "evaluation.json"


class EvaluationError(ValueError):
    """An evaluation cannot be merged, written or gone on with; the message says why."""


@dataclass(frozen=True)
class Kept:
    """What a folder holds of one evaluation, a line for each finished block.

    Attributes:
        folder: Where.
        claim: Digest of all that decides the numbers: a line of another claim is none of these.
        images: How many there are to simulate.
    """

    folder: Path
    claim: str
    images: int

    @property
    def blocks(self) -> list[range]:
        """The numbers of the images of each block."""
        return blocks(self.images)

    def add(self, block: int, tally: Tally, rank: int) -> None:
        """Keep a finished block, whatever stops the process afterwards.

        Args:
            block: Its number.
            tally: What was counted in it.
            rank: Number of the process: each writes to a file of its own.

        Raises:
            EvaluationError: the folder cannot be written to.
        """
        line = json.dumps({"claim": self.claim, "block": block} | asdict(tally))
        with _writing(self.folder):
            _append(self.folder / f"part-{rank}.jsonl", line.encode())

    def done(self) -> dict[int, Tally]:
        """Return the finished blocks; a line that was interrupted, or of another claim, is none."""
        done = {}
        for path in sorted(self.folder.glob("part-*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                try:
                    entry = json.loads(line)
                    if entry.pop("claim") == self.claim:
                        block = entry.pop("block")
                        done[block] = Tally(**entry | {"right": tuple(entry["right"])})
                except (AttributeError, KeyError, TypeError, ValueError):
                    continue
        return done

    def total(self) -> Tally:
        """Add up all blocks.

        Raises:
            EvaluationError: some are missing.
        """
        done, count = self.done(), len(self.blocks)
        missing = set(range(count)) - done.keys()
        if missing:
            raise EvaluationError(
                f"{len(missing)} of {count} blocks are missing in {self.folder}: a process ended "
                "early. Give the same command again, and only these are done"
            )
        total = done[0]
        for block in range(1, count):
            total += done[block]
        return total


def blocks(images: int) -> list[range]:
    """Cut images into blocks: return the numbers of the images of each."""
    return [range(first, min(first + BLOCK, images)) for first in range(0, images, BLOCK)]


def begin(folder: Path, model: nn.Module, task: Task, source: Source) -> Kept:
    """Begin an evaluation in a folder, or see that it is the one that was begun there.

    Args:
        folder: Made if it is not there.
        model: The network.
        task: What it is judged by.
        source: The images, as `Task.source` gives them.

    Raises:
        EvaluationError: the folder holds the evaluation of something else, or cannot be written to.
    """
    asked = asdict(task) | {"images": len(source), "network": fingerprint(model), "block": BLOCK}
    del asked["root"]  # the same images may lie elsewhere tomorrow
    asked["labels"] = source.identity()["data.labels"]  # and other images there today
    asked["standin"] = standins.is_standin(task.data, task.root)
    text = json.dumps(asked, indent=1)
    asked, path = json.loads(text), folder / _TASK
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_new(path, f"{text}\n".encode())
    try:
        known = json.loads(path.read_bytes())
        differing = differences(known, asked)
    except (AttributeError, ValueError):
        raise EvaluationError(f"{path} is damaged; name another folder") from None
    if differing:
        raise EvaluationError(
            f"{folder} holds another evaluation ({differing}): name another folder"
        )
    return Kept(folder, hashlib.sha256(text.encode()).hexdigest()[:16], len(source))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of an error in a ``with`` block, which writes, where it was and how to go on."""
    try:
        yield
    except OSError as trouble:
        full = trouble.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EvaluationError(
            f"cannot write to {folder} ({trouble.strerror or trouble}): what is finished there is "
            f"kept; {'make room' if full else 'put that right'}, and the same command goes on"
        ) from None


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file, and force it to the disk."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line  # one before was interrupted
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
