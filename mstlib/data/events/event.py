"""What an event is, and what a set of recordings is.

An event camera has no frames. Each pixel watches the logarithm of its brightness on its own, and
whenever that has changed by a threshold it sends one event: where, when, and brighter or darker
(Lichtsteiner, Posch and Delbruck, 2008, IEEE Journal of Solid-State Circuits 43, 566).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])


class EventFileError(ValueError):
    """A file does not hold what its format allows; the message names the file and what is wrong."""


def check(events: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return the events if they are valid.

    Args:
        events: structured array (n,) with the fields of `EVENT`: t, the time in microseconds,
            never going back; x and y, the pixel, counted from the top left; p, 1 for brighter
            and 0 for darker.
        size: (height, width) of the sensor, which every pixel must lie on; None not to ask.

    Returns:
        The same array.

    Raises:
        TypeError: it is not a one-dimensional array of `EVENT`.
        ValueError: a time before 0, a time that goes back, a pixel off the sensor, or a polarity
            other than 0 and 1; the message names the first such event.
    """
    if not isinstance(events, np.ndarray) or events.dtype != EVENT or events.ndim != 1:
        got = (
            f"an array {events.dtype} of shape {events.shape}"
            if isinstance(events, np.ndarray)
            else type(events).__name__
        )
        raise TypeError(f"events must be an array (n,) of EVENT, {EVENT.descr}; got {got}")
    t, x, y, p = (events[field] for field in EVENT.names)
    height, width = size or (np.iinfo(np.int16).max + 1,) * 2
    _refuse(np.diff(t, prepend=t[:1]) < 0, events, "its time is before that of the event before")
    _refuse(t[:1] < 0, events, "its time is below 0")
    _refuse((x < 0) | (x >= width), events, f"x must be 0 to {width - 1}")
    _refuse((y < 0) | (y >= height), events, f"y must be 0 to {height - 1}")
    _refuse(p > 1, events, "p must be 0 (darker) or 1 (brighter)")
    return events


def _refuse(wrong: np.ndarray, events: np.ndarray, why: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        values = ", ".join(f"{name} = {events[row][name]}" for name in EVENT.names)
        raise ValueError(f"event {row} ({values}): {why}")


class Recordings(Sequence):
    """Recordings with their labels, read or made only when asked for.

    `recordings[i]` is (events, label), the events an array of `EVENT` (n,) and the label an int;
    `recordings[a:b]` is the part, as lazy as the whole.

    Attributes:
        labels: class of every recording, int64 (N,), read-only.
        classes: names of the classes, in the order of the labels.
        size: (height, width) of the sensor in pixels.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        labels: Sequence[int] | np.ndarray,
        classes: Sequence[str],
        size: tuple[int, int],
    ) -> None:
        self._read = read
        self.labels = np.array(labels, dtype=np.int64)
        self.labels.flags.writeable = False
        self.classes = tuple(classes)
        self.size = size

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            rows, read = range(len(self))[index], self._read
            labels = self.labels[index]
            return Recordings(lambda row: read(rows[row]), labels, self.classes, self.size)
        row = range(len(self))[index]  # IndexError and negative numbers as for any sequence
        return self._read(row), int(self.labels[row])
