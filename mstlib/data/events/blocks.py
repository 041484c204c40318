"""From the records of a file to events, a block at a time.

The formats differ in how a record packs time, pixel and polarity. What is common is here: reading
blocks of records that stay in the processor's cache, checking them, and filling the array of
events. So a reader needs the memory of its events and little more, however large the file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.event import EVENT, EventFileError

Fields = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # t, x, y, p, each (n,)

BLOCK = 1 << 16  # records read at once
LAST = 2**32 - 1  # µs: the last time that any of these formats can hold
SENSOR = (720, 1280)  # height and width of the largest sensor that these formats are used with


@dataclass(frozen=True)
class Stream:
    """The content of an open file, before it is checked.

    Attributes:
        records: at most so many events will come.
        size: (height, width) of the sensor in pixels, where the format or the file says so.
        blocks: t, x, y and p of one run of events after the other, in any integer types.
    """

    records: int
    size: tuple[int, int] | None
    blocks: Iterator[Fields]


def records(
    path: Path, file: BinaryIO, offset: int, dtype: np.dtype | str, each: int
) -> tuple[int, Iterator[np.ndarray]]:
    """Read the records behind a header.

    Args:
        path: the file's name, for the error.
        file: the file, open; its position is moved.
        offset: where the header ends, in bytes.
        dtype: type of the numbers that a record is made of.
        each: how many numbers make a record.

    Returns:
        How many records there are, and blocks of them, (n, each).

    Raises:
        EventFileError: the last record is not whole.
    """
    length = np.dtype(dtype).itemsize * each
    count, rest = divmod(os.fstat(file.fileno()).st_size - offset, length)
    if rest:
        raise EventFileError(
            f"{path} ends inside an event: {rest} bytes follow the last whole event, where each "
            f"takes {length}. Part of the file is missing, or it is of another format."
        )

    def read() -> Iterator[np.ndarray]:
        file.seek(offset)
        left = count
        while left:
            block = np.fromfile(file, dtype, min(left, BLOCK) * each)
            if not block.size:
                raise EventFileError(f"{path} became shorter while it was read")
            left -= len(block) // each
            yield block.reshape(-1, each)

    return count, read()


def fill(path: Path, stream: Stream, order: str) -> tuple[np.ndarray, int]:
    """Check a stream and make it an array of events.

    Args:
        path: the file's name, for the errors.
        stream: what it holds.
        order: what to do with events whose time is before that of the event before them:
            "refuse" the file, "sort" all events by time, or "keep" them as they are.

    Returns:
        The events, `EVENT` (n,), and how often time went back.

    Raises:
        EventFileError: an event off the sensor, a polarity other than 0 and 1, or time going
            back where it is refused.
    """
    height, width = stream.size or SENSOR
    events = np.empty(stream.records, EVENT)
    done, last, back = 0, 0, 0
    for t, x, y, p in stream.blocks:
        if not len(t):
            continue
        _refuse(path, x >= width, done, f"x must be 0 to {width - 1}", x)
        _refuse(path, y >= height, done, f"y must be 0 to {height - 1}", y)
        _refuse(path, p > 1, done, "p must be 0 (darker) or 1 (brighter)", p)
        falls = t[1:] < t[:-1]
        if t[0] < last or falls.any():
            if order == "refuse":
                row = 0 if t[0] < last else int(falls.argmax()) + 1
                before = last if row == 0 else int(t[row - 1])
                raise EventFileError(
                    f"{path}: time goes back at event {done + row}, from {before} to {t[row]} µs. "
                    "Give sort=True to put the events in order."
                )
            back += int(t[0] < last) + int(np.count_nonzero(falls))
        part = events[done : done + len(t)]
        part["t"], part["x"], part["y"], part["p"] = t, x, y, p
        done, last = done + len(t), int(t[-1])
    events = events if done == len(events) else events[:done].copy()
    if back and order == "sort":
        events = events[np.argsort(events["t"], kind="stable")]
    return events, back


def _refuse(path: Path, wrong: np.ndarray, done: int, why: str, values: np.ndarray) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise EventFileError(f"{path}: event {done + row}: {why}, not {values[row]}")
