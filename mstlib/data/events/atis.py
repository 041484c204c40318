"""The ``.bin`` files of N-Caltech101 (and N-MNIST), recorded by an ATIS camera.

No header; five bytes an event: x, y, and 24 bits of which the first is the polarity (1 brighter)
and the others the time in microseconds, the highest byte first (Orchard and others, 2015,
garrickorchard.com/datasets/n-caltech101). A record with y = 240, a row that the camera does not
have, is no event: it says that the clock has run over, and adds 2^13 µs to the times of all events
behind it (``read_dataset`` of the authors' ``eventvision.py``). The origin is top left.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.blocks import Fields, Stream, records
from mstlib.data.events.event import EventFileError

SIZE = (240, 256)  # what the bytes can say; the recordings of N-Caltech101 are at most 180x240

_CLOCK = 2**23
_OVERFLOW_ROW, _OVERFLOW_TIME = 240, 2**13


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events.

    Raises:
        EventFileError: cut off, or a row that the camera does not have.
    """
    count, blocks = records(path, file, 0, "u1", 5)
    return Stream(count, None, _fields(path, blocks))


def encode(events: np.ndarray) -> bytes:
    """The events as a file, with as many overflows as their times need."""
    t = events["t"]
    overflows = np.maximum(-(-(t - _CLOCK + 1) // _OVERFLOW_TIME), 0)  # before each event
    total = int(overflows[-1]) if len(t) else 0
    file = np.zeros((len(t) + total, 5), "u1")
    file[:, 1] = _OVERFLOW_ROW
    word = (t - overflows * _OVERFLOW_TIME) | events["p"].astype("i8") << 23
    columns = (events["x"], events["y"], word >> 16, word >> 8 & 255, word & 255)
    file[np.arange(len(t)) + overflows] = np.stack(columns, axis=1)
    return file.tobytes()


def _fields(path: Path, blocks: Iterator[np.ndarray]) -> Iterator[Fields]:
    before = 0  # overflows in the blocks before
    for block in blocks:
        x, y, high, middle, low = block.T
        t = (high & 127).astype("u4") << 16 | middle.astype("u4") << 8 | low
        p = high >> 7
        over = y >= _OVERFLOW_ROW
        if over.any():
            if y.max() > _OVERFLOW_ROW:
                raise EventFileError(
                    f"{path}: y must be 0 to 239, or 240 for the clock, not {y.max()}"
                )
            so_far = before + np.cumsum(over)
            before = int(so_far[-1])
            event = ~over
            t, x, y, p = t[event] + so_far[event] * _OVERFLOW_TIME, x[event], y[event], p[event]
        elif before:
            t = t.astype("i8") + before * _OVERFLOW_TIME
        yield t, x, y, p
