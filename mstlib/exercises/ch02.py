"""Exercises of chapter 2: θ's gradient, conversion by hand, choosing θ, splitting the error."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded
from mstlib.neurons import integrate_and_fire

# 2.1 ---------------------------------------------------------------------------------------------


def _step(x: Tensor, threshold: float, levels: int) -> Tensor:
    return (x * levels / threshold + 0.5).floor()


def _threshold_gradient(x: Tensor, threshold: float, levels: int) -> Tensor:
    step = _step(x, threshold, levels)
    inside = step / levels - x / threshold
    return torch.where(step > levels, 1.0, torch.where(step < 0, 0.0, inside))


def _inputs(seed: int, shape: tuple[int, ...], threshold: float, levels: int) -> Tensor:
    """Inputs around [0, θ], none of them on the lowest or the highest step.

    There the value is at the clip exactly, and PyTorch's versions differ in whether a gradient
    passes.
    """
    x = threshold * (3 * torch.rand(shape, generator=seeded(seed)) - 1)
    step = _step(x, threshold, levels)
    return x + torch.where(step == 0, -1, torch.where(step == levels, 1, 0)) * threshold / levels


GRADIENT = Exercise(
    "2.1",
    "what a threshold learns from",
    right=_threshold_gradient,
    cases=lambda: [
        (_inputs(1, (300,), 1.0, 8), 1.0, 8),
        (_inputs(2, (20, 15), 2.0, 4), 2.0, 4),
        (_inputs(3, (300,), 0.5, 16), 0.5, 16),
    ],
    mistakes={
        "the term −x/θ is missing: θ stands under x too, and the floor passes gradients through.": (
            lambda x, threshold, levels: (_step(x, threshold, levels) / levels).clamp(0, 1)
        ),
        "the clip is missing: above the top level the gradient is 1, below zero it is 0.": (
            lambda x, threshold, levels: _step(x, threshold, levels) / levels - x / threshold
        ),
        "you have the clipped part; between 0 and θ the rounding error step/L − x/θ remains.": (
            lambda x, threshold, levels: (_step(x, threshold, levels) > levels).to(x.dtype)
        ),
        "the sign is turned round: raising θ raises what is clipped at it.": (
            lambda *x: -_threshold_gradient(*x)
        ),
        "that is the gradient for x; the question is for θ.": (
            lambda x, threshold, levels: (
                _step(x, threshold, levels).clamp(0, levels) == _step(x, threshold, levels)
            ).float()
        ),
    },
)

# 2.2 ---------------------------------------------------------------------------------------------


def _run(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    threshold: float,
    w2: Tensor,
    b2: Tensor,
    steps: int,
    *,
    start: float = 0.5,
    reset: str = "soft",
    weigh: bool = True,
    input_once: bool = False,
    bias_once: bool = False,
    last_bias_once: bool = False,
    divide: int = 0,
) -> Tensor:
    current = x @ w1.T + (0 if bias_once else b1)
    v = torch.full_like(current, start * threshold)
    total = torch.zeros(len(x), len(w2), dtype=x.dtype)
    for t in range(steps):
        if t == 0:
            u = v + current + (b1 if bias_once else 0)
        else:
            u = v + (b1 if input_once else current)
        spikes = (u >= threshold).to(x.dtype)
        v = u - threshold * spikes if reset == "soft" else u * (1 - spikes)
        total += (threshold if weigh else 1) * spikes @ w2.T + (0 if last_bias_once else b2)
    return total / (steps + divide) + (b2 / steps if last_bias_once else 0)


def _network_case(seed: int, steps: int, threshold: float) -> tuple:
    draw = seeded(seed)
    x = torch.rand(9, 6, generator=draw)
    w1, b1 = torch.randn(8, 6, generator=draw), 0.5 * torch.randn(8, generator=draw)
    w2, b2 = torch.randn(3, 8, generator=draw), torch.randn(3, generator=draw)
    return x, w1, b1, threshold, w2, b2, steps


NETWORK = Exercise(
    "2.2",
    "a network, converted by hand",
    right=_run,
    cases=lambda: [
        _network_case(4, 8, 1.5),
        _network_case(5, 5, 0.7),
        _network_case(6, 1, 2.0),
    ],
    mistakes={
        "the spikes reach the second layer as 0 and 1; each is worth θ.": (
            lambda *a: _run(*a, weigh=False)
        ),
        "the neurons start at 0; start them at θ/2.": lambda *a: _run(*a, start=0.0),
        "your neurons lose charge: they reset to zero. Subtract the threshold instead.": (
            lambda *a: _run(*a, reset="zero")
        ),
        "the image enters at the first step only; it is a constant current, add it at each step.": (
            lambda *a: _run(*a, input_once=True)
        ),
        "the first bias enters once; a bias is a constant current too, add it at every step.": (
            lambda *a: _run(*a, bias_once=True)
        ),
        "the second bias is added once and then divided by T; add it at every step.": (
            lambda *a: _run(*a, last_bias_once=True)
        ),
        "you return the sum over the steps; divide by T.": lambda *a: _run(*a) * a[-1],
        "you divide by T + 1; there are T steps.": lambda *a: _run(*a, divide=1),
    },
    tolerance=1e-4,
)

# 2.3 ---------------------------------------------------------------------------------------------


def _best_threshold(x: Tensor, candidates: Tensor, levels: int, half: float = 0.5) -> Tensor:
    return candidates[_errors(x, candidates, levels, half).argmin()]


def _errors(x: Tensor, candidates: Tensor, levels: int, half: float = 0.5) -> Tensor:
    steps = (x * levels / candidates[:, None] + half).floor()
    kept = candidates[:, None] * (steps / levels).clamp(0, 1)
    return (kept - x.relu()).square().mean(1)


def _activations(seed: int, skew: float) -> Tensor:
    """Pre-activations with a long right tail and many negative values."""
    normal = torch.randn(4000, generator=seeded(seed))
    return normal.abs().pow(skew) * normal.sign()


CHOICE = Exercise(
    "2.3",
    "the threshold with the smallest error",
    right=_best_threshold,
    cases=lambda: [
        (_activations(7, 1.0), torch.linspace(0.5, 5.0, 46), 8),
        (_activations(8, 2.0), torch.linspace(0.5, 16.0, 60), 4),
        (_activations(9, 1.5), torch.linspace(0.2, 9.0, 60), 16),
    ],
    mistakes={
        "you take the largest candidate: nothing is clipped, but the steps are too coarse.": (
            lambda x, candidates, levels: candidates[-1]
        ),
        "you return the position of the best candidate; return the candidate itself.": (
            lambda *x: _errors(*x).argmin()
        ),
        "you return the error itself; return the candidate that has it.": (
            lambda *x: _errors(*x).min()
        ),
        "the half is missing: QCFS rounds to the nearest level, ⌊xL/θ + ½⌋.": (
            partial(_best_threshold, half=0.0)
        ),
        "you take the worst candidate; look for the smallest error.": (
            lambda x, candidates, levels: candidates[_errors(x, candidates, levels).argmax()]
        ),
    },
)

# 2.4 ---------------------------------------------------------------------------------------------


def _split(
    current: Tensor, threshold: float, half: float = 0.5, start: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    steps, mean = len(current), current.mean(0)
    count = integrate_and_fire(current, threshold, start * threshold)[0].sum(0)
    clipped = mean.clamp(0, threshold)
    even = threshold * (mean * steps / threshold + half).floor().clamp(0, steps) / steps
    return clipped - mean.relu(), even - clipped, threshold * count / steps - even


SPLIT = Exercise(
    "2.4",
    "one error, split into three",
    right=_split,
    cases=lambda: [
        (2.5 * torch.rand(9, 40, generator=seeded(10)) - 0.7, 1.0),
        (torch.randn(16, 40, generator=seeded(11)) + 1.0, 2.0),
        (
            0.6 * torch.randn(33, 40, generator=seeded(12)) + torch.linspace(-0.3, 1.0, 40),
            0.5,
        ),
    ],
    mistakes={
        "the signs are turned round: error = what the neuron says minus what ReLU says.": (
            lambda *x: tuple(-part for part in _split(*x))
        ),
        "the quantised value needs the half: ⌊zT/θ + ½⌋, because v₀ = θ/2.": (
            partial(_split, half=0.0)
        ),
        "your neuron starts at 0; start at θ/2.": partial(_split, start=0.0),
        "the order is clipping, quantisation, unevenness.": lambda *x: _split(*x)[::-1],
        "these are in units of θ; multiply by θ to have them in the units of the current.": (
            lambda current, threshold: tuple(
                part / threshold for part in _split(current, threshold)
            )
        ),
        "quantisation still contains the clipping; compare it with the clipped mean.": (
            lambda *x: (_split(*x)[0], sum(_split(*x)[:2]), _split(*x)[2])
        ),
    },
)

EXERCISES = (GRADIENT, NETWORK, CHOICE, SPLIT)
