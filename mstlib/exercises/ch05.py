"""Exercises of chapter 5: the right axis, score spikes, the mask's place, shifts, parameters."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded

# 5.1 ---------------------------------------------------------------------------------------------


def _normalise(
    x: Tensor, eps: float, axes: tuple[int, ...] = (0, 1), unbiased: bool = False
) -> Tensor:
    variance = x.var(axes, correction=int(unbiased), keepdim=True)
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(variance + eps)


def _tokens(seed: int, *shape: int) -> Tensor:
    """Tokens whose images, positions and channels all have means and scales of their own."""
    draw = seeded(seed)
    x = torch.randn(shape, generator=draw)
    for axis, size in enumerate(shape):
        view = [1] * len(shape)
        view[axis] = size
        x = x * (0.5 + torch.rand(view, generator=draw)) + torch.randn(view, generator=draw)
    return x


NORM = Exercise(
    "5.1",
    "BatchNorm over the right axes",
    right=_normalise,
    cases=lambda: [(_tokens(1, 4, 9, 6), 1e-5), (_tokens(2, 3, 4, 5), 0.1)],
    mistakes={
        "that is LayerNorm: you average over the channels of one token; average each channel over "
        "all images and tokens.": partial(_normalise, axes=(2,)),
        "you average over the images only; every token of every image belongs to the average.": (
            partial(_normalise, axes=(0,))
        ),
        "you average over the tokens of one image (InstanceNorm); average over the images too.": (
            partial(_normalise, axes=(1,))
        ),
        "you average over everything; each channel keeps a mean and a variance of its own.": (
            partial(_normalise, axes=(0, 1, 2))
        ),
        "your variance divides by n − 1; BatchNorm normalises with the plain mean of squares, "
        "var(..., correction=0).": partial(_normalise, unbiased=True),
        "ε stands under the root, beside the variance.": lambda x, eps: (
            (x - x.mean((0, 1))) / (x.std((0, 1), correction=0) + eps)
        ),
        "you divide by the variance; divide by its root.": lambda x, eps: (
            (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + eps)
        ),
        "the mean is still in: subtract it first.": lambda x, eps: (
            x / torch.sqrt(x.var((0, 1), correction=0) + eps)
        ),
    },
    tolerance=1e-4,
)

# 5.2 ---------------------------------------------------------------------------------------------


def _score_spikes(
    q: Tensor, k: Tensor, threshold: float, power: float = 0.5, **neuron: object
) -> Tensor:
    return _fire(_products(q, k, power), threshold, **neuron)


def _products(q: Tensor, k: Tensor, power: float = 0.5) -> Tensor:
    return q @ k.transpose(-2, -1) / q.shape[-1] ** power


def _fire(
    current: Tensor,
    threshold: float,
    start: float = 0.5,
    reset: str = "soft",
    strict: bool = False,
) -> Tensor:
    v = torch.full_like(current[0], start * threshold)
    spikes = torch.zeros_like(current)
    for t, step in enumerate(current):
        u = v + step
        spikes[t] = u > threshold if strict else u >= threshold
        after = {"soft": u - threshold * spikes[t], "zero": u * (1 - spikes[t]), "memoryless": v}
        v = after[reset]
    return spikes


def _trains(seed: int, steps: int, tokens: int, width: int, rate: float) -> tuple[Tensor, Tensor]:
    draw = torch.rand(2, steps, tokens, width, generator=seeded(seed))
    q, k = (draw < rate).float()
    return q, k


SCORES = Exercise(
    "5.2",
    "attention scores as spikes (Eq. 7)",
    right=_score_spikes,
    cases=lambda: [
        # Widths that are powers of four: √d is exact, and ties occur and are honest ties.
        (*_trains(3, 24, 5, 16, 0.3), 1.5),
        (*_trains(4, 9, 7, 4, 0.5), 1.0),
        (*_trains(5, 16, 16, 16, 0.2), 0.75),
    ],
    mistakes={
        "the neurons are missing: these are real-valued scores; Eq. 7 sends them through IF.": (
            lambda q, k, threshold: _products(q, k)
        ),
        "you scale by d; Eq. 7 divides by its root, √d.": partial(_score_spikes, power=1.0),
        "the scale is missing: divide the products by √d.": partial(_score_spikes, power=0.0),
        "you divide by the root of the number of tokens; d is the width of a head, q.shape[-1].": (
            lambda q, k, threshold: _fire(_products(q, k, 0) / q.shape[-2] ** 0.5, threshold)
        ),
        "rows and columns are exchanged: A[i, j] belongs to query i and key j.": (
            lambda q, k, threshold: _score_spikes(k, q, threshold)
        ),
        "your neurons forget between steps: the potential is carried from one step to the next.": (
            partial(_score_spikes, reset="memoryless")
        ),
        "your neurons compare each step by itself, from 0: the potential is carried on, and it "
        "starts at θ/2.": partial(_score_spikes, start=0.0, reset="memoryless"),
        "your neurons start at 0; start them at θ/2.": partial(_score_spikes, start=0.0),
        "your neurons lose charge: they reset to zero. Subtract the threshold instead.": (
            partial(_score_spikes, reset="zero")
        ),
        "your neurons need u > θ; they fire already when u = θ.": (
            partial(_score_spikes, strict=True)
        ),
        "you multiply averages over time; queries meet keys within each step.": (
            lambda q, k, threshold: _fire(
                _products(q.mean(0), k.mean(0)).expand(len(q), -1, -1), threshold
            )
        ),
        "return spikes, 0 and 1; the factor θ comes in later, when they are weighed.": (
            lambda q, k, threshold: threshold * _score_spikes(q, k, threshold)
        ),
    },
)

# 5.3 ---------------------------------------------------------------------------------------------


def _masked_weights(
    scores: Tensor,
    keep: Tensor | int,
    bias: Tensor | int,
    apart: Tensor,
    never: float = -torch.inf,
    axis: int = -1,
) -> Tensor:
    return (keep * scores + bias).masked_fill(apart, never).softmax(axis)


def _weights_case(seed: int, tokens: int, threshold: float, ratio: float) -> tuple:
    draw = seeded(seed)
    scores = threshold * (torch.rand(tokens, tokens, generator=draw) < 0.4).float()
    keep = (torch.rand(tokens, tokens, generator=draw) >= ratio).float()
    bias = 0.5 * torch.randn(tokens, tokens, generator=draw)
    region = torch.randint(2, (tokens,), generator=draw)
    return scores, keep, bias, region[:, None] != region


WEIGHTS = Exercise(
    "5.3",
    "the mask before the softmax, the shift as −∞",
    right=_masked_weights,
    cases=lambda: [
        _weights_case(6, 8, 2.0, 0.5),
        _weights_case(7, 5, 4.0, 0.75),
        _weights_case(8, 9, 1.0, 0.25),
    ],
    mistakes={
        "the mask is in the wrong place, after the softmax: it drops score spikes, so it belongs "
        "before the bias and the softmax.": lambda s, k, b, a: k * _masked_weights(s, 1, b, a),
        "the mask is in the wrong place, after the position bias: only spikes are masked, and the "
        "bias is no spike.": lambda s, k, b, a: _masked_weights(s + b, k, 0, a),
        "a dropped spike is a 0, not −∞: its pair still attends, as it would had it not spiked.": (
            lambda s, k, b, a: _masked_weights(s, 1, b, a | (k == 0))
        ),
        "the mask is forgotten: multiply the score spikes by keep.": (
            lambda s, k, b, a: _masked_weights(s, 1, b, a)
        ),
        "the mask is turned round: keep is 1 where a spike stays.": (
            lambda s, k, b, a: _masked_weights(s, 1 - k, b, a)
        ),
        "you rescale what is left, as dropout does; spike masking does not rescale.": (
            lambda s, k, b, a: _masked_weights(s / k.mean(), k, b, a)
        ),
        "the shift mask is forgotten: tokens that are apart must get a weight of exactly 0.": (
            lambda s, k, b, a: _masked_weights(s, k, b, a & False)
        ),
        "a score of 0 is not “never”: where tokens are apart, put −∞ before the softmax.": (
            partial(_masked_weights, never=0.0)
        ),
        "zeroing weights after the softmax leaves rows that do not add up to 1; where tokens are "
        "apart, put −∞ before it.": lambda s, k, b, a: _masked_weights(s, k, b, a & False) * ~a,
        "apart is true where two tokens must *not* attend; you let only those attend.": (
            lambda s, k, b, a: _masked_weights(s, k, b, ~a)
        ),
        "the softmax runs over the keys, the last axis.": partial(_masked_weights, axis=-2),
        "the position bias is forgotten: add it to the masked scores.": (
            lambda s, k, b, a: _masked_weights(s, k, 0, a)
        ),
        "the softmax is missing.": lambda s, k, b, a: (k * s + b).masked_fill(a, -torch.inf),
    },
)

# 5.4 ---------------------------------------------------------------------------------------------


def _apart(size: int, side: int, shift: int) -> Tensor:
    return _differ(_wrapped(size, shift), side, shift)


def _wrapped(size: int, shift: int) -> Tensor:
    """Which places wrap round over the top edge, and which over the left, (2, size, size)."""
    return torch.stack(torch.meshgrid(*[torch.arange(size) < shift] * 2, indexing="ij"))


def _differ(wrapped: Tensor, side: int, shift: int) -> Tensor:
    """Which pairs of a window differ in one of some maps, by tokens' original places."""
    parts = wrapped.roll((-shift, -shift), (1, 2)).unfold(1, side, side).unfold(2, side, side)
    parts = parts.reshape(len(wrapped), -1, side * side)
    return (parts[..., :, None] != parts[..., None, :]).any(0)


APART = Exercise(
    "5.4",
    "who is apart in a shifted window",
    right=_apart,
    cases=lambda: [(8, 4, 2), (6, 3, 1), (12, 4, 1)],
    mistakes={
        "the shift mask is forgotten: the last window holds tokens from opposite edges.": (
            lambda *x: torch.zeros_like(_apart(*x))
        ),
        "true and false are exchanged: mark the pairs that are apart.": lambda *x: ~_apart(*x),
        "you roll the other way: the picture moves up and left, by −shift.": (
            lambda size, side, shift: _differ(_wrapped(size, shift), side, -shift)
        ),
        "you look at rows only; the left edge wraps round as the top does.": (
            lambda size, side, shift: _differ(_wrapped(size, shift)[:1], side, shift)
        ),
        "you look at columns only; the top edge wraps round as the left does.": (
            lambda size, side, shift: _differ(_wrapped(size, shift)[1:], side, shift)
        ),
        "tokens that both wrapped round, but one over the top and one over the left edge, are "
        "apart too: compare rows and columns one by one.": lambda size, side, shift: _differ(
            _wrapped(size, shift).any(0, keepdim=True), side, shift
        ),
    },
)

# 5.5 ---------------------------------------------------------------------------------------------


def _count(
    width: int,
    heads: int,
    side: int,
    *,
    biases: bool = True,
    qkv: int = 3,
    proj: bool = True,
    table: int | None = None,
    thresholds: int = 6,
) -> int:
    linear = qkv * width * width + (qkv * width if biases else 0)
    out = (width * width + (width if biases else 0)) if proj else 0
    return linear + out + ((2 * side - 1) ** 2 * heads if table is None else table) + thresholds


PARAMETERS = Exercise(
    "5.5",
    "the parameters of one attention",
    right=_count,
    cases=lambda: [(96, 3, 7), (768, 24, 7), (48, 3, 4), (10, 2, 3)],
    mistakes={
        "the biases of the linear layers are missing: 3·width for Q, K, V and width for proj.": (
            partial(_count, biases=False)
        ),
        "the position bias has one number for each relative shift, (2·side − 1)² of them, and "
        "for each head; yours has one for each pair of tokens.": lambda width, heads, side: _count(
            width, heads, side, table=side**4 * heads
        ),
        "the position bias has (2·side − 1)² numbers for each head; you count one head.": (
            lambda width, heads, side: _count(width, heads, side, table=(2 * side - 1) ** 2)
        ),
        "the position bias has (2·side − 1)² numbers a head, not side²: shifts run from "
        "−(side − 1) to side − 1 both ways.": lambda width, heads, side: _count(
            width, heads, side, table=side**2 * heads
        ),
        "shifts run from −(side − 1) to side − 1: that is 2·side − 1 of them, not 2·side + 1.": (
            lambda width, heads, side: _count(width, heads, side, table=(2 * side + 1) ** 2 * heads)
        ),
        "the position bias table is missing: (2·side − 1)² numbers for each head.": (
            partial(_count, table=0)
        ),
        "the thresholds are missing: one for each of Q, K, V, A, A·V and proj.": (
            partial(_count, thresholds=0)
        ),
        "there are six thresholds: those of Q, K, V, A, A·V and proj.": (
            partial(_count, thresholds=4)
        ),
        "there are six thresholds, and you miss one: Q, K, V, A, A·V and proj.": (
            partial(_count, thresholds=5)
        ),
        "the last linear layer, proj, is missing.": partial(_count, proj=False),
        "Q, K and V have a matrix each: three of width × width.": partial(_count, qkv=1),
        "the heads share one width: they divide it among them and do not multiply it.": (
            lambda width, heads, side: heads * _count(width, 1, side, thresholds=0) + 6
        ),
    },
)

EXERCISES = (NORM, SCORES, WEIGHTS, APART, PARAMETERS)
