"""The metrics file of a training: a line of JSON for each update, none twice and none missing.

A state on disk knows how long the file was when it was written. Who goes on from that state cuts
off what was written later, since those updates are made again.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

METRICS = "metrics.jsonl"


class Metrics:
    """Writes rows to a folder's metrics file, and to TensorBoard's files on request.

    Args:
        folder: Where the file is.
        length: Its length that a state knows, in bytes; 0 to begin a new one.
        tensorboard: Write for TensorBoard, too, in the folder ``tensorboard``.

    Raises:
        ValueError: TensorBoard is asked for and not installed.
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
        self._file.write(f"{json.dumps(row)}\n".encode())
        if self._board is not None:
            for name, value in row.items():
                if name not in ("phase", "update") and isinstance(value, int | float):
                    self._board.add_scalar(f"{row['phase']}/{name}", value, row["update"])

    def keep(self) -> int:
        """Force all rows to the disk, and return the file's length in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()
        return self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a training's folder, also while it runs: a last unfinished row is left out.

    A row has ``phase``, ``update`` (of the phase, from 1), ``epoch``, ``loss``, ``rate``,
    ``gradient`` (its norm before clipping), ``threshold`` (the mean θ, once there are any), and
    ``seconds`` that the update took. The last row of an epoch has ``accuracy``, on images that are
    not trained on, as a ReLU or QCFS network.
    """
    lines = (Path(folder) / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "TensorBoard is not installed: pip install tensorboard, or train without it; the same "
            f"numbers are in {METRICS}"
        ) from None
    return SummaryWriter(str(folder))
