"""The metrics file of a training: a line of JSON for each update, none twice and none missing.

A state on disk knows how long the file was when it was written. Who goes on from that state cuts
off what was written later, since those updates are made again.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mstlib.scale.state import StateError

METRICS = "metrics.jsonl"


class Metrics:
    """Writes rows to a folder's metrics file, and to TensorBoard's files on request.

    Args:
        folder: Where the file is.
        length: Its length that a state knows, in bytes; 0 to begin a new one.
        tensorboard: Write for TensorBoard, too, in the folder ``tensorboard``.

    Raises:
        ValueError: TensorBoard is asked for and not installed.
        StateError: from every method: the disk is full, or the file cannot be written to.
    """

    def __init__(self, folder: Path, length: int = 0, tensorboard: bool = False) -> None:
        self._board = _board(folder / "tensorboard") if tensorboard else None
        self.path = folder / METRICS
        self._file = self.path.open("ab")
        if self.path.stat().st_size < length:
            warnings.warn(f"{self.path} is shorter than it was: rows are missing", stacklevel=2)
        else:
            self._file.truncate(length)

    def add(self, row: dict[str, Any]) -> None:
        """Write a row; its numbers go to TensorBoard under the row's phase."""
        plain = {name: None if _endless(value) else value for name, value in row.items()}
        with self._told():
            self._file.write(f"{json.dumps(plain, allow_nan=False)}\n".encode())
            if self._board is not None:
                for name, value in row.items():
                    if name not in ("phase", "update") and isinstance(value, int | float):
                        self._board.add_scalar(f"{row['phase']}/{name}", value, row["update"])

    def keep(self) -> int:
        """Force all rows to the disk, and return the file's length in bytes."""
        with self._told():
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._board is not None:
                self._board.flush()
            return self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            with self._told():
                try:
                    self._file.close()
                finally:
                    if self._board is not None:
                        self._board.close()
        except StateError:
            if error is None:  # what ended the block before has the word
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say which file cannot be written to, and how to go on."""
        try:
            yield
        except OSError as trouble:
            raise StateError(
                f"cannot write the metrics to {self.path} ({trouble}); the last whole state is "
                "kept: make room and run the same command again, which goes on from there"
            ) from None


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a training's folder, also while it runs: a last unfinished row is left out.

    A row has ``phase``, ``update`` (of the phase, from 1), ``epoch``, ``loss``, ``rate``,
    ``gradient`` (its norm before clipping), ``threshold`` (the mean θ, once there are any), and
    ``seconds`` that the update took. The last row of an epoch has ``accuracy``, on images that are
    not trained on, as a ReLU or QCFS network. JSON knows no infinity: a number that is none, as the
    norm of a gradient that overflowed in half precision, is ``None``.
    """
    lines = (Path(folder) / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "TensorBoard is not installed: pip install tensorboard, or train without it; the same "
            f"numbers are in {METRICS}"
        ) from None
    return SummaryWriter(str(folder))
