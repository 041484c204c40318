"""Exercises of chapter 8: pooling spikes, keeping a mean under a mask, deliveries of a spike."""

from __future__ import annotations

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded

# 8.1 ---------------------------------------------------------------------------------------------


def _pooling_error(spikes: Tensor) -> Tensor:
    return spikes.amax(1).mean(0) - spikes.mean(0).amax(0)


def _trains(seed: int, steps: int, inputs: int, neurons: int) -> tuple[Tensor]:
    rates = torch.rand(inputs, neurons, generator=seeded(seed))
    return ((torch.rand(steps, inputs, neurons, generator=seeded(seed + 1)) < rates).float(),)


POOLING = Exercise(
    "8.1",
    "what a maximum over spikes gets wrong",
    right=_pooling_error,
    cases=lambda: [_trains(1, 12, 4, 3), _trains(3, 4, 4, 4), _trains(5, 1, 4, 2)],
    mistakes={
        "the sign: what the pooled spikes say, minus what was meant.": lambda s: -_pooling_error(s),
        "that is the average pooling: take the maximum over the inputs, axis 1.": lambda s: (
            s.mean(1).mean(0) - s.mean(0).amax(0)
        ),
        "both terms take the mean first, so nothing differs: the spiking network takes the maximum "
        "at every step.": lambda s: 0 * _pooling_error(s),
        "a sum over time is not a rate: divide by T.": lambda s: (
            s.amax(1).sum(0) - s.sum(0).amax(0)
        ),
        "axis 0 is time and axis 1 the inputs: you took the maximum over time.": lambda s: (
            s.amax(0).mean(0) - s.mean(0).amax(0)
        ),
    },
)


# 8.2 ---------------------------------------------------------------------------------------------


def _keep_the_mean(weight: Tensor, bias: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    return weight / (1 - ratio), bias


def _layer(seed: int, ratio: float) -> tuple[Tensor, Tensor, float]:
    draw = seeded(seed)
    return torch.randn(5, 4, generator=draw), torch.randn(5, generator=draw), ratio


MEAN = Exercise(
    "8.2",
    "weights that keep the mean current under a mask",
    right=_keep_the_mean,
    cases=lambda: [_layer(1, 0.25), _layer(2, 0.75), _layer(3, 0.0)],
    mistakes={
        "the bias is not a spike: no mask takes anything from it, so it stays as it is.": (
            lambda w, b, p: (w / (1 - p), b / (1 - p))
        ),
        "the mask keeps a share 1 − p, and you make the weights smaller still: divide.": (
            lambda w, b, p: (w * (1 - p), b)
        ),
        "you divide by p, the share that is dropped; the share that arrives is 1 − p.": (
            lambda w, b, p: (w / p if p else w / 1e-9, b)
        ),
        "a mask drops one input at a time, and a current has one input factor: (1 − p), not "
        "squared.": lambda w, b, p: (w / (1 - p) ** 2, b),
        "the weights are unchanged: every term of the sum but the bias arrives with probability "
        "1 − p.": lambda w, b, p: (w, b),
    },
)


# 8.3 ---------------------------------------------------------------------------------------------


def _deliveries(emitted: Tensor, masked: Tensor, unmasked: Tensor, ratio: float) -> Tensor:
    return emitted * (masked * (1 - ratio) + unmasked)


def _network(seed: int, ratio: float) -> tuple[Tensor, Tensor, Tensor, float]:
    draw = seeded(seed)
    return (
        torch.randint(50, 500, (5,), generator=draw).double(),
        torch.tensor([1, 1, 2, 1, 0]),
        torch.tensor([0, 1, 0, 2, 1]),
        ratio,
    )


DELIVERIES = Exercise(
    "8.3",
    "deliveries, with masks before the convolutions alone",
    right=_deliveries,
    cases=lambda: [_network(1, 0.5), _network(2, 0.75), _network(3, 0.0)],
    mistakes={
        "the shortcut has no mask: only what goes to convolutions is thinned.": (
            lambda e, m, u, p: e * (m + u) * (1 - p)
        ),
        "you count what is dropped; delivered is the rest, 1 − p.": (
            lambda e, m, u, p: e * (m * p + u)
        ),
        "a spike that two layers read is delivered twice: count every reader.": (
            lambda e, m, u, p: e * ((m > 0) * (1 - p)).maximum((u > 0).double())
        ),
        "the unmasked readers get every spike too: add them.": lambda e, m, u, p: e * m * (1 - p),
        "these are emitted spikes: the mask stands before the reader.": lambda e, m, u, p: (
            e * (m + u)
        ),
    },
)

EXERCISES = (POOLING, MEAN, DELIVERIES)
