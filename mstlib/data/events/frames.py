"""From a stream of events to frames: cut it into slices, count each slice's events by polarity.

The paper feeds its network frames so made, n of them with the two polarities as channels (§4.2).
A slice holds either an equal number of events or an equal length of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from mstlib.data.events.event import check

if TYPE_CHECKING:
    import torch

CUTS = ("count", "time")


def frames(
    events: np.ndarray,
    n: int,
    size: tuple[int, int],
    by: str = "count",
    side: int | None = None,
) -> np.ndarray:
    """Count the events of n slices of a recording, pixel by pixel and polarity by polarity.

    No event is lost and none is counted twice: the sum of all frames is the number of events.

    Args:
        events: array of `EVENT` (m,).
        n: how many frames.
        size: (height, width) of the sensor.
        by: "count" for slices with equal numbers of events, to within one, or "time" for slices
            of equal length, from the first event to the last.
        side: make frames of side×side cells, each the sum of the pixels that fall into it; None
            for the sensor's own pixels.

    Returns:
        Float32 (n, 2, H, W): how many events of polarity 0 (darker) and 1 (brighter).
        `.reshape(2 * n, H, W)` is the input of the paper's network. Without events, zeros.

    Raises:
        TypeError: events are not an array of `EVENT`.
        ValueError: n, side or a length below 1, another cut, or events that are not valid on a
            sensor of this size.
    """
    height, width = _whole(size[0], "the height"), _whole(size[1], "the width")
    rows, columns = (height, width) if side is None else (_whole(side, "side"),) * 2
    check(events, (height, width))
    y = events["y"].astype(np.int64) * rows // height
    x = events["x"].astype(np.int64) * columns // width
    number = np.repeat(np.arange(n), np.diff(cuts(events, n, by)))
    cell = ((number * 2 + events["p"]) * rows + y) * columns + x
    counts = np.bincount(cell, minlength=n * 2 * rows * columns)
    return counts.astype(np.float32).reshape(n, 2, rows, columns)


def cuts(events: np.ndarray, n: int, by: str = "count") -> np.ndarray:
    """Say where a recording is cut into n slices: slice k is `events[cuts[k] : cuts[k + 1]]`.

    Args:
        events: array of `EVENT` (m,), sorted by time.
        n: how many slices.
        by: "count": slice k begins at event ⌊k·m/n⌋. "time": slice k begins with the first event
            at or after the k-th of n equal parts of the time from the first event to the last;
            the last event is in the last slice.

    Returns:
        Rows of the array that never go back, the first 0 and the last m, int64 (n + 1,).

    Raises:
        ValueError: n below 1, another way to cut, or times too large to be counted in n parts.
    """
    k = np.arange(_whole(n, "n") + 1)
    m = len(events)
    if by == "count":
        return k * m // n
    if by != "time":
        raise ValueError(f"by must be one of {', '.join(CUTS)}; got {by!r}")
    t = events["t"] - events["t"][:1]
    length = int(t[-1]) if m else 0
    if length > np.iinfo(np.int64).max // n:
        raise ValueError(f"a recording of {length} microseconds is too long to be cut into {n}")
    rows = np.searchsorted(t * n, k * length)  # whole numbers: no rounding
    rows[0], rows[-1] = 0, m
    return rows


def stack(
    recordings: Sequence, n: int = 8, by: str = "count", side: int | None = 32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the frames of every recording of a set.

    Args:
        recordings: a `Recordings`, or a part of one.
        n: frames of each recording.
        by: as for `frames`.
        side: as for `frames`.

    Returns:
        Counts, float32 (N, n, 2, H, W), and labels, int64 (N,). `.flatten(1, 2)` stacks the frames
        as channels, as the paper does.

    Raises:
        ValueError: as for `frames`.
    """
    import torch  # not needed by who only reads events

    counts = [frames(events, n, recordings.size, by, side) for events, _ in recordings]
    return torch.from_numpy(np.stack(counts)), torch.from_numpy(np.array(recordings.labels))


def summed(counts: torch.Tensor) -> torch.Tensor:
    """Sum the frames (N, n, 2, H, W) of each recording up and scale it: float32 (N, 2, H, W)."""
    return scaled(counts.sum(1))


def film(counts: torch.Tensor) -> torch.Tensor:
    """Scale frames (N, n, 2, H, W) to be shown one after another; their mean is `summed`."""
    return counts * (_factor(counts.sum(1)) * counts.shape[1])[:, None]


def scaled(counts: torch.Tensor) -> torch.Tensor:
    """Divide the counts of each recording (N, ...) by the root of their mean square (or by 1)."""
    return counts * _factor(counts)


def _factor(counts: torch.Tensor) -> torch.Tensor:
    """Return what makes the mean square of each recording 1, one number for each."""
    size = counts.square().flatten(1).mean(1).sqrt()
    size[size == 0] = 1
    return (1 / size).view(-1, *[1] * (counts.dim() - 1))


def _whole(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}")
    return int(value)
