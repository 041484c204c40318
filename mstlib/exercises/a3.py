"""Exercise of page A3: a leaky neuron that rests after each spike."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded


def _resting(
    current: Tensor,
    keep: float,
    rest: int,
    steps: int,
    *,
    hears: bool = False,
    leaks: bool = False,
    short: bool = False,
) -> Tensor:
    """The right neuron; the options are its usual mistakes."""
    v, waiting, spikes = torch.full_like(current, 0.5), torch.zeros_like(current), []
    for _ in range(steps):
        awake = waiting == 0
        resting = keep * v + current if hears else keep * v if leaks else v
        u = torch.where(awake, keep * v + current, resting)
        s = (awake & (u >= 1)).to(u.dtype)
        v = u - s
        waiting = torch.where(s > 0, rest - short, waiting - 1).clamp(min=0)
        spikes.append(s)
    return torch.stack(spikes)


def _cases() -> list[tuple]:
    draw = seeded(0)
    currents = 1.2 * torch.rand(50, generator=draw, dtype=torch.float64)
    return [(currents, keep, rest, 40) for keep in (1.0, 0.8) for rest in (0, 1, 5)]


EXERCISES = [
    Exercise(
        "A3.1",
        "a rest after each spike",
        _resting,
        _cases,
        {
            "while it rests the neuron takes no input; here the current still comes in.": (
                partial(_resting, hears=True)
            ),
            "while it rests the potential stays where the reset left it; here it leaks.": (
                partial(_resting, leaks=True)
            ),
            "the rest is one step too short: after a spike, `rest` whole steps are silent.": (
                partial(_resting, short=True)
            ),
            "the neuron never rests.": lambda i, keep, rest, steps: _resting(i, keep, 0, steps),
        },
    )
]
