"""Exercises of chapter 4: two rhythms, exact products, the gap of a softmax, who is kept apart."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded
from mstlib.neurons import integrate_and_fire

# 4.1 ---------------------------------------------------------------------------------------------


def _trains(
    a: Tensor, b: Tensor, steps: int, start: float = 0.5, reset: str = "soft"
) -> tuple[Tensor, ...]:
    current = torch.stack([a, b]).expand(steps, 2, *a.shape)
    return integrate_and_fire(current, 1.0, start, reset)[0].unbind(1)


def _bias(a: Tensor, b: Tensor, steps: int, start: float = 0.5, reset: str = "soft") -> Tensor:
    q, k = _trains(a, b, steps, start, reset)
    return (q * k).mean(0) - q.mean(0) * k.mean(0)


def _together(a: Tensor, b: Tensor, steps: int) -> Tensor:
    q, k = _trains(a, b, steps)
    return (q * k).mean(0)


def _currents(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    # Odd multiples of 1/64 and some equal pairs: exact in 32 bits, and no rhythm like another.
    a, b = ((2 * torch.randint(0, 32, shape, generator=seeded(seed + i)) + 1) / 64 for i in (0, 1))
    return a, torch.where(torch.rand(shape, generator=seeded(seed + 2)) < 0.3, a, b)


RHYTHMS = Exercise(
    "4.1",
    "the bias of two rhythms",
    right=_bias,
    cases=lambda: [(*_currents(1, 6), 21), (*_currents(4, 2, 5), 50), (*_currents(7, 3), 8)],
    mistakes={
        "this is how often they fire together; subtract the product of the two means.": _together,
        "take the means of the spikes that were fired: in T steps a neuron need not fire exactly "
        "a·T times.": lambda a, b, steps: _together(a, b, steps) - a * b,
        "the neurons start at ½, not at 0.": partial(_bias, start=0.0),
        "the reset is soft: a spike takes 1 away, and what lay above stays.": (
            partial(_bias, reset="zero")
        ),
        "the sign is turned round: the mean of the product, minus the product of the means.": (
            lambda *x: -_bias(*x)
        ),
        "this is the limit for equal rates, a(1 − a) or min(a, b) − ab; count the meetings of "
        "these two.": lambda a, b, steps: torch.minimum(a, b) - a * b,
        "these are sums over the steps; divide by the number of steps.": (
            lambda a, b, steps: steps * _bias(a, b, steps)
        ),
        "keep the sign: neurons that miss each other have a negative bias.": (
            lambda *x: _bias(*x).abs()
        ),
    },
)

# 4.2 ---------------------------------------------------------------------------------------------


def _exact(q: Tensor, k: Tensor) -> Tensor:
    return q.cumsum(0) @ k.mT + q @ (k.cumsum(0) - k).mT


def _steps(x: Tensor) -> Tensor:
    return torch.arange(1, len(x) + 1, dtype=x.dtype).view(-1, 1, 1)


def _spikes(seed: int, steps: int, tokens: int, others: int, d: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    q = 1.5 * (torch.rand(steps, tokens, d, generator=draw) < 0.5)
    k = 0.5 * (torch.rand(steps, others, d, generator=draw) < 0.4)
    q[0] = 1.5  # so that the first step counts
    k[0] = 0.5
    return q, k


PRODUCTS = Exercise(
    "4.2",
    "products that add up to the product of the sums",
    right=_exact,
    cases=lambda: [_spikes(1, 9, 4, 4, 4), _spikes(2, 6, 3, 5, 2), _spikes(3, 12, 2, 2, 2)],
    mistakes={
        "these are the products of each step; their sum lacks all meetings of different steps.": (
            lambda q, k: q @ k.mT
        ),
        "both sums end at step t, so the meeting of q(t) and k(t) is counted twice; let one of "
        "them end a step earlier.": lambda q, k: q.cumsum(0) @ k.mT + q @ k.cumsum(0).mT,
        "both sums end at step t − 1, so the meeting of q(t) and k(t) is missing; let one of "
        "them end at t.": lambda q, k: (q.cumsum(0) - q) @ k.mT + q @ (k.cumsum(0) - k).mT,
        "this is the product of the sums itself; give what step t ADDS to it.": (
            lambda q, k: q.cumsum(0) @ k.cumsum(0).mT
        ),
        "half is missing: new queries must also meet the old keys, q(t)·Σk(t−1)ᵀ.": (
            lambda q, k: q.cumsum(0) @ k.mT
        ),
        "half is missing: new keys must also meet the old queries, Σq(t−1)·k(t)ᵀ.": (
            lambda q, k: q @ k.cumsum(0).mT
        ),
        "this is the product of the running means; give what adds up to the product of the sums.": (
            lambda q, k: (q.cumsum(0) / _steps(q)) @ (k.cumsum(0) / _steps(k)).mT
        ),
        "the sum must be right after EVERY step, and a step cannot know the future.": (
            lambda q, k: (q.sum(0) @ k.sum(0).mT / len(q)).expand(len(q), -1, -1)
        ),
        "queries come first: the rows of the result are the tokens of q.": (
            lambda q, k: _exact(k, q)
        ),
    },
    tolerance=1e-4,
)

# 4.3 ---------------------------------------------------------------------------------------------


def _gap(a: Tensor, bias: Tensor, axis: int = -1, order: int = 1) -> Tensor:
    gap = (a + bias).softmax(axis).mean(0) - (a.mean(0) + bias).softmax(axis)
    return gap.norm(order, axis)


def _scores(seed: int, steps: int, tokens: int, theta: float) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    a = theta * (torch.rand(steps, tokens, tokens, generator=draw) < 0.4).float()
    bias = torch.randn(tokens, tokens, generator=draw)
    far = torch.rand(tokens, tokens, generator=draw) < 0.2
    return a, bias.masked_fill(far.fill_diagonal_(False), -torch.inf)


SOFTMAX = Exercise(
    "4.3",
    "the gap of a softmax of spikes",
    right=_gap,
    cases=lambda: [_scores(1, 12, 5, 2.0), _scores(2, 7, 4, 4.0), _scores(3, 20, 6, 1.0)],
    mistakes={
        "the position bias is missing; it is added before each softmax.": (
            lambda a, bias: _gap(a, torch.zeros_like(bias))
        ),
        "you leave out the pairs of −∞ only; the finite part of the bias counts as well.": (
            lambda a, bias: _gap(a, bias.masked_fill(bias.isfinite(), 0))
        ),
        "rows of weights add up to 1, so signed differences cancel; take absolute values first.": (
            lambda a, bias: torch.zeros(len(bias))
        ),
        "average the weights over the steps first, and compare then.": (
            lambda a, bias: (
                ((a + bias).softmax(-1) - (a.mean(0) + bias).softmax(-1)).abs().sum(-1).mean(0)
            )
        ),
        "the L1 distance is a sum over the keys, not their mean.": (
            lambda a, bias: _gap(a, bias) / a.shape[-1]
        ),
        "this is the Euclidean distance; L1 adds up the absolute differences.": (
            partial(_gap, order=2)
        ),
        "each query has its weights along a ROW: softmax over the last axis.": (
            partial(_gap, axis=-2)
        ),
        "one number for each query: do not average over the queries.": lambda *x: _gap(*x).mean(),
    },
)

# 4.4 ---------------------------------------------------------------------------------------------


def _pairs(tokens: int, side: int, shift: int) -> tuple[Tensor, Tensor]:
    """For every pair of tokens: whether they share a window, whether both were rolled alike."""
    moved = torch.arange(tokens) - shift
    window, rolled = moved % tokens // side, moved != moved % tokens

    def same(x: Tensor) -> Tensor:
        both = (x.long()[:, None] * tokens + x.long()).flatten()
        return both[:, None] == both

    return same(window), same(rolled)


def _apart(tokens: int, side: int, shift: int) -> Tensor:
    window, alike = _pairs(tokens, side, shift)
    return window & ~alike


def _rows_only(tokens: int, side: int, shift: int) -> Tensor:
    row = (torch.arange(tokens) < shift).repeat_interleave(tokens)
    return _pairs(tokens, side, shift)[0] & (row[:, None] != row)


def _in_rolled_order(tokens: int, side: int, shift: int) -> Tensor:
    order = torch.arange(tokens**2).view(tokens, tokens).roll((-shift, -shift), (0, 1)).flatten()
    return _apart(tokens, side, shift)[order][:, order]


APART = Exercise(
    "4.4",
    "who is kept apart",
    right=_apart,
    cases=lambda: [(8, 4, 2), (6, 3, 1), (4, 2, 1), (8, 4, 0)],
    mistakes={
        "turned round: true is for pairs that must NOT attend though they share a window.": (
            lambda *x: torch.logical_and(*_pairs(*x))
        ),
        "these are all pairs that may not attend; mark only those that share a window, the others "
        "never meet.": lambda *x: ~torch.logical_and(*_pairs(*x)),
        "these are the pairs in different windows; they never meet. Mark those WITHIN a window "
        "that the roll brought together.": lambda *x: ~_pairs(*x)[0],
        "this forgets the windows: a rolled token and another may lie in different ones.": (
            lambda *x: ~_pairs(*x)[1]
        ),
        "the roll is to the left and upwards: the FIRST rows and columns come to the far end.": (
            lambda tokens, side, shift: _apart(tokens, side, -shift)
        ),
        "you look at rows only; columns are rolled around as well.": _rows_only,
        "tokens are counted in the order of the map, not in that of the rolled map.": (
            _in_rolled_order
        ),
        "nothing is apart here; but the roll joins the two ends of the map.": (
            lambda tokens, side, shift: torch.zeros(tokens**2, tokens**2, dtype=torch.bool)
        ),
    },
)

EXERCISES = (RHYTHMS, PRODUCTS, SOFTMAX, APART)
