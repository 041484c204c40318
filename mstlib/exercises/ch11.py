"""Exercises of chapter 11: a deaf pixel, five bytes, slices of time, a film played backwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded

# 11.1 --------------------------------------------------------------------------------------------


def _sent(times: Tensor, refractory: float) -> Tensor:
    sent, last = torch.zeros(len(times), dtype=torch.bool), None
    for i, t in enumerate(times.tolist()):
        if last is None or t - last >= refractory:
            sent[i], last = True, t
    return sent


def _bins(times: Tensor, refractory: float) -> Tensor:
    """One event in each interval of a grid."""
    place = (times - times[0]) // refractory
    return place.diff(prepend=place[:1] - 1) > 0


def _crossings(seed: int, number: int, longest: int) -> Tensor:
    return 100 + torch.randint(1, longest, (number,), generator=seeded(seed)).cumsum(0)


REFRACTORY = Exercise(
    "11.1",
    "a pixel that is deaf for a while",
    right=_sent,
    cases=lambda: [
        (_crossings(8, 30, 700), 1000),
        (torch.tensor([0, 400, 1000, 1400, 2000, 2999, 3000]), 1000),
        (_crossings(9, 12, 3000), 1500),
    ],
    mistakes={
        "a pixel is deaf after an event that it sent; not after one that was lost.": (
            lambda times, refractory: times.diff(prepend=times[:1] - refractory) >= refractory
        ),
        "after exactly the refractory time the pixel hears again: >=, not >.": (
            lambda times, refractory: _sent(times, refractory + 0.5)
        ),
        "the first crossing is always sent: the pixel has been at rest.": (
            lambda times, refractory: _sent(times, refractory) & (torch.arange(len(times)) > 0)
        ),
        "the deaf time begins with the event that was sent, not with a grid of time.": _bins,
        "you return which crossings are lost; return which are sent.": lambda *x: ~_sent(*x),
        "return for each crossing whether it is sent (bool), not the times.": (
            lambda times, refractory: times[_sent(times, refractory)]
        ),
    },
)

# 11.2 --------------------------------------------------------------------------------------------


def _decode(
    rows: Tensor,
    time: Callable[..., Tensor] = lambda a, b, c: (a & 127) << 16 | b << 8 | c,
    polarity: Callable[[Tensor], Tensor] = lambda a: a >> 7,
    kind: torch.dtype = torch.int64,
) -> Tensor:
    """The right columns; the options are the usual mistakes."""
    x, y, a, b, c = rows.to(kind).unbind(1)
    return torch.stack([time(a, b, c), x, y, polarity(a)], 1).long()


def _rows(seed: int, number: int) -> Tensor:
    return torch.randint(256, (number, 5), generator=seeded(seed)).to(torch.uint8)


BYTES = Exercise(
    "11.2",
    "events out of bytes",
    right=_decode,
    cases=lambda: [(_rows(1, 40),), (_rows(2, 7),), (torch.full((1, 5), 255, dtype=torch.uint8),)],
    mistakes={
        "the highest bit of the third byte is the polarity and no part of the time: & 127.": (
            partial(_decode, time=lambda a, b, c: a << 16 | b << 8 | c)
        ),
        "the time is written with its highest bits first.": (
            partial(_decode, time=lambda a, b, c: (a & 127) | b << 8 | c << 16)
        ),
        "the polarity is the highest bit of the third byte, not its lowest.": (
            partial(
                _decode, time=lambda a, b, c: (a >> 1) << 16 | b << 8 | c, polarity=lambda a: a & 1
            )
        ),
        "x is the first byte and y the second.": lambda rows: _decode(rows)[:, [0, 2, 1, 3]],
        "the columns are t, x, y, p, in this order.": lambda rows: _decode(rows)[:, [1, 2, 0, 3]],
        "a byte that is shifted left loses its bits: turn the rows into int64 first.": (
            partial(_decode, kind=torch.uint8)
        ),
        "the polarity is 1 where the bit is set.": (
            lambda rows: _decode(rows) * torch.tensor([1, 1, 1, -1]) + torch.tensor([0, 0, 0, 1])
        ),
    },
)

# 11.3 --------------------------------------------------------------------------------------------


def _slices(t: Tensor, n: int) -> Tensor:
    return ((t - t[0]) * n // (t[-1] - t[0])).clamp(max=n - 1)


def _times(seed: int, number: int) -> Tensor:
    gaps = torch.randint(1, 90, (number,), generator=seeded(seed))
    gaps[number // 2 :] *= 5  # busy at first
    return 7_000 + gaps.cumsum(0)


SLICES = Exercise(
    "11.3",
    "slices of equal time",
    right=_slices,
    cases=lambda: [(_times(3, 60), 4), (_times(4, 25), 7), (_times(5, 9), 1)],
    mistakes={
        "these are slices of equal count; equal time was asked for.": (
            lambda t, n: torch.arange(len(t)) * n // len(t)
        ),
        "the last event falls out of the last slice: it gets the number n.": (
            lambda t, n: (t - t[0]) * n // (t[-1] - t[0])
        ),
        "clocks do not start with the recording: count from its first event.": (
            lambda t, n: (t * n // t[-1]).clamp(max=n - 1)
        ),
        "number the slices from 0.": lambda *x: _slices(*x) + 1,
        "return whole numbers (int64): the slice, not how far into the recording an event is.": (
            lambda t, n: (t - t[0]) * n / (t[-1] - t[0])
        ),
    },
)

# 11.4 --------------------------------------------------------------------------------------------


def _frames(seed: int, *shape: int) -> Tensor:
    return torch.randint(5, shape, generator=seeded(seed)).float()


BACKWARDS = Exercise(
    "11.4",
    "a recording played backwards",
    right=lambda frames: frames.flip(0, 1),
    cases=lambda: [(_frames(6, 4, 2, 5, 6),), (_frames(7, 3, 2, 4, 4),)],
    mistakes={
        "the order is right, but what grew brighter now grows darker: swap the polarities.": (
            lambda frames: frames.flip(0)
        ),
        "the polarities are right, but the last frame has to come first.": (
            lambda frames: frames.flip(1)
        ),
        "time runs along the first axis; you mirrored the pictures.": lambda frames: frames.flip(3),
        "the pictures themselves stay upright: only time and polarity turn round.": (
            lambda frames: frames.flip(0, 1, 2, 3)
        ),
        "swapping the polarities exchanges two channels; it does not change a sign.": (
            lambda frames: -frames.flip(0)
        ),
    },
)

EXERCISES = [REFRACTORY, BYTES, SLICES, BACKWARDS]
