"""Exercises of chapter 1: reading rates, counting spikes, lost charge, the leaky neuron."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded


def _currents(steps: int, neurons: int, seed: int, scale: float = 1.0) -> Tensor:
    """Currents between -0.5 and 1.5, some of them beyond what a neuron can follow."""
    return scale * (2 * torch.rand(steps, neurons, generator=seeded(seed)) - 0.5)


def _ties(steps: int) -> Tensor:
    """Constant currents k/16: with θ = 1 the potential meets the threshold exactly, often."""
    return (torch.arange(-4, 25) / 16).expand(steps, -1).clone()


# 1.1 ---------------------------------------------------------------------------------------------


def _decode(spikes: Tensor, threshold: float) -> Tensor:
    return threshold * spikes.mean(0)


DECODE = Exercise(
    "1.1",
    "the rate, read back as a current",
    right=_decode,
    cases=lambda: [
        ((torch.rand(16, 5, generator=seeded(1)) < 0.4).float(), 1.0),
        ((torch.rand(7, 3, 4, generator=seeded(2)) < 0.7).float(), 2.5),
        ((torch.rand(1, 6, generator=seeded(3)) < 0.5).float(), 0.5),
    ],
    mistakes={
        "you return the rate; each spike carries the charge θ, so multiply by the threshold.": (
            lambda spikes, threshold: spikes.mean(0)
        ),
        "you return the whole charge; divide by the number of steps T to get a current.": (
            lambda spikes, threshold: threshold * spikes.sum(0)
        ),
        "you average over neurons as well; average over time only, the first axis.": (
            lambda spikes, threshold: threshold * spikes.mean()
        ),
        "you divide by the wrong axis; the number of steps T is spikes.shape[0].": (
            lambda spikes, threshold: threshold * spikes.sum(0) / spikes.shape[-1]
        ),
        "you average over the last axis; time is the first.": (
            lambda spikes, threshold: threshold * spikes.mean(-1)
        ),
        "a rate is divided by the threshold; multiply instead: more charge in each spike.": (
            lambda spikes, threshold: spikes.mean(0) / threshold
        ),
    },
)

# 1.2 ---------------------------------------------------------------------------------------------


def _count(current: Tensor, threshold: float, steps: int) -> Tensor:
    return (current * steps / threshold + 0.5).floor().clamp(0, steps)


COUNT = Exercise(
    "1.2",
    "the spikes, counted without a loop",
    right=_count,
    cases=lambda: [
        (_currents(1, 200, seed=4)[0], 1.0, 8),
        (_currents(1, 200, seed=5, scale=2.0)[0], 2.0, 7),
        (_currents(1, 200, seed=6, scale=0.5)[0], 0.5, 32),
        (_ties(1)[0], 1.0, 4),
        (_ties(1)[0], 1.0, 1),
    ],
    mistakes={
        "torch.round takes halves to the even neighbour; a neuron that meets its threshold "
        "exactly fires, so halves go up: (… + 0.5).floor().": (
            lambda current, threshold, steps: (current * steps / threshold).round().clamp(0, steps)
        ),
        "at exact ties you give one spike too few; a neuron fires when u ≥ θ, "
        "so halves go up: (… + 0.5).floor().": (
            lambda current, threshold, steps: (
                (current * steps / threshold - 0.5).ceil().clamp(0, steps)
            )
        ),
        "you forget the half: the neuron starts at v₀ = θ/2, which adds ½ before the floor.": (
            lambda current, threshold, steps: (current * steps / threshold).floor().clamp(0, steps)
        ),
        "there is no upper limit yet: at most one spike a step, so at most T.": (
            lambda current, threshold, steps: (current * steps / threshold + 0.5).floor().clamp(0)
        ),
        "there is no lower limit yet: a negative current gives 0 spikes, never fewer.": (
            lambda current, threshold, steps: (
                (current * steps / threshold + 0.5).floor().clamp(max=steps)
            )
        ),
        "the count is not limited yet: it lies between 0 and T.": (
            lambda current, threshold, steps: (current * steps / threshold + 0.5).floor()
        ),
        "the threshold is missing: how often does θ fit into the charge that came in?": (
            lambda current, threshold, steps: (current * steps + 0.5).floor().clamp(0, steps)
        ),
        "you count one step too few: all T steps bring charge.": (
            lambda current, threshold, steps: (
                (current * (steps - 1) / threshold + 0.5).floor().clamp(0, steps)
            )
        ),
        "you return the rate; the question is for the count.": (
            lambda current, threshold, steps: _count(current, threshold, steps) / steps
        ),
    },
)

# 1.3 ---------------------------------------------------------------------------------------------


def _lost(
    current: Tensor,
    threshold: float,
    start: float = 0.5,
    kept: float = 1.0,
    reset: str = "zero",
    strict: bool = False,
) -> Tensor:
    v = torch.full_like(current[0], start * threshold)
    lost = torch.zeros_like(v)
    for step in current:
        u = v + step
        fired = u > threshold if strict else u >= threshold
        lost += torch.where(fired, u - kept * threshold, 0.0)
        v = torch.where(fired, u - threshold if reset == "soft" else 0.0, u)
    return lost


LOST = Exercise(
    "1.3",
    "the charge a reset to zero throws away",
    right=_lost,
    cases=lambda: [
        (_currents(40, 12, seed=7), 1.0),
        (_currents(25, 12, seed=8, scale=2.0), 2.0),
        (_ties(16), 1.0),
    ],
    mistakes={
        "you count all of u at a spike; θ of it leaves as the spike, only u − θ is lost.": (
            partial(_lost, kept=0.0)
        ),
        "your neuron subtracts θ (soft reset), which loses nothing; "
        "here the potential is set to zero after a spike.": partial(_lost, reset="soft"),
        "your neuron starts at 0; in this book it starts at θ/2.": partial(_lost, start=0.0),
        "your neuron needs u > θ; it fires already when u = θ.": partial(_lost, strict=True),
    },
)

# 1.4 ---------------------------------------------------------------------------------------------


def _leaky(
    current: Tensor,
    threshold: float,
    leak: float,
    start: float = 0.5,
    reset: str = "soft",
    strict: bool = False,
    leaks_input: bool = False,
    subtract: float | None = None,
) -> Tensor:
    v = torch.full_like(current[0], start * threshold)
    spikes = torch.zeros_like(current)
    for t, step in enumerate(current):
        u = leak * (v + step) if leaks_input else leak * v + step
        spikes[t] = u > threshold if strict else u >= threshold
        after = u - (threshold if subtract is None else subtract) * spikes[t]
        v = after if reset == "soft" else u * (1 - spikes[t]) if reset == "zero" else u
    return spikes


LEAKY = Exercise(
    "1.4",
    "the leaky neuron",
    right=_leaky,
    cases=lambda: [
        (_currents(40, 12, seed=9), 1.0, 0.9),
        (_currents(40, 12, seed=10, scale=2.0), 2.0, 0.75),
        (_ties(16), 1.0, 1.0),
        (_ties(16), 1.0, 0.5),
    ],
    mistakes={
        "your neuron loses charge: it resets to zero. Subtract the threshold instead.": (
            partial(_leaky, reset="zero")
        ),
        "your neuron never resets: after a spike, subtract the threshold from u.": (
            partial(_leaky, reset="none")
        ),
        "your neuron starts at 0; start at θ/2.": partial(_leaky, start=0.0),
        "your neuron needs u > θ; it fires already when u = θ.": partial(_leaky, strict=True),
        "the new input leaks too; only what was there before does: u = leak·v + input.": (
            partial(_leaky, leaks_input=True)
        ),
        "the leak is missing: before the input arrives, v shrinks to leak·v.": (
            lambda current, threshold, leak: _leaky(current, threshold, 1.0)
        ),
        "a spike costs the threshold θ, not 1.": partial(_leaky, subtract=1.0),
        "a spike is 0 or 1; the threshold comes in later, when the spikes are weighed.": (
            lambda current, threshold, leak: threshold * _leaky(current, threshold, leak)
        ),
    },
)

EXERCISES = (DECODE, COUNT, LOST, LEAKY)
