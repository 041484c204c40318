"""Exercises of chapter 3: running statistics, folding, a distance of distributions, a gain."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from mstlib.exercises.grading import Exercise, seeded

# 3.1 ---------------------------------------------------------------------------------------------


def _update(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    axes: tuple[int, ...] = (0, 1),
    spread: Callable[..., Tensor] = torch.var,
) -> tuple[Tensor, ...]:
    pairs = (mean, x.mean(axes)), (var, spread(x, axes))
    return tuple((1 - momentum) * old + momentum * new for old, new in pairs)


def _tokens(seed: int, *shape: int) -> tuple[Tensor, Tensor, Tensor, float]:
    draw = seeded(seed)
    x = 2 + 3 * torch.randn(*shape, generator=draw)
    mean, var = torch.randn(shape[-1], generator=draw), torch.rand(shape[-1], generator=draw)
    return x, mean, var + 0.5, 0.1 + 0.1 * seed


RUNNING = Exercise(
    "3.1",
    "what BatchNorm writes down",
    right=_update,
    # As many channels as tokens, so that an average over the wrong axes runs and is found.
    cases=lambda: [_tokens(1, 3, 4, 4), _tokens(2, 2, 3, 3)],
    mistakes={
        "the stored variance is the unbiased one, over n − 1; the plain one is what BatchNorm "
        "divides by in training.": partial(_update, spread=partial(torch.var, correction=0)),
        "momentum is the weight of the NEW batch; you give it to the old value.": (
            lambda x, m, v, k: _update(x, m, v, 1 - k)
        ),
        "you return the statistics of this batch alone; mix them with what was stored.": (
            lambda x, m, v, k: _update(x, m, v, 1.0)
        ),
        "you average over the images only; all tokens of an image belong to the channel as well: "
        "axes (0, 1).": partial(_update, axes=(0,)),
        "you average over the channels, which is LayerNorm; BatchNorm has one pair a channel: "
        "axes (0, 1).": partial(_update, axes=(0, 2)),
        "this is the standard deviation; the variance is stored.": partial(
            _update, spread=torch.std
        ),
        "return the mean first and the variance second.": lambda *x: _update(*x)[::-1],
    },
)

# 3.2 ---------------------------------------------------------------------------------------------

Affine = tuple[Tensor, Tensor]


def _fold_both(before: Affine, weight: Tensor, bias: Tensor, behind: Affine) -> Affine:
    bias = (bias + weight @ before[1]) * behind[0] + behind[1]
    return weight * before[0] * behind[0][:, None], bias


def _sandwich(seed: int, width: int) -> tuple[Affine, Tensor, Tensor, Affine]:
    draw = seeded(seed)

    def vector() -> Tensor:
        return torch.randn(width, generator=draw)

    weight = torch.randn(width, width, generator=draw)
    return (vector(), vector()), weight, vector(), (vector(), vector())


FOLD = Exercise(
    "3.2",
    "two BatchNorms, folded from both sides",
    right=_fold_both,
    # Square, so that rows and columns can be mistaken for each other.
    cases=lambda: [_sandwich(3, 5), _sandwich(4, 3)],
    mistakes={
        "rows and columns are exchanged: inputs are columns, and the norm BEFORE scales them; "
        "outputs are rows.": lambda n, w, b, m: (
            w * n[0][:, None] * m[0],
            _fold_both(n, w, b, m)[1],
        ),
        "the shift of the first norm is lost: it goes through the weight and becomes a bias.": (
            lambda n, w, b, m: _fold_both((n[0], 0 * n[1]), w, b, m)
        ),
        "the shift of the first norm is scaled by that norm as well; it is added AFTER its scale, "
        "so only the weight acts on it.": lambda n, w, b, m: _fold_both(
            (n[0], n[0] * n[1]), w, b, m
        ),
        "the shift of the first norm must go through the weight: weight @ shift.": (
            lambda n, w, b, m: (_fold_both(n, w, b, m)[0], (b + n[1]) * m[0] + m[1])
        ),
        "the second norm acts on the bias too: scale it, then add the shift.": (
            lambda n, w, b, m: (_fold_both(n, w, b, m)[0], b + w @ n[1] + m[1])
        ),
        "the shift of the second norm is missing in the bias.": (
            lambda n, w, b, m: _fold_both(n, w, b, (m[0], 0 * m[1]))
        ),
        "the scale of the second norm is missing in the weight.": (
            lambda n, w, b, m: (w * n[0], _fold_both(n, w, b, m)[1])
        ),
        "the two norms are exchanged: `before` meets the inputs.": (
            lambda n, w, b, m: _fold_both(m, w, b, n)
        ),
        "return the weight first and the bias second.": lambda *x: _fold_both(*x)[::-1],
    },
)

# 3.3 ---------------------------------------------------------------------------------------------


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.sort().values - b.sort().values).abs().mean()


def _samples(seed: int, size: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    return torch.randn(size, generator=draw), 0.2 + 0.4 * torch.randn(size, generator=draw)


DISTANCE = Exercise(
    "3.3",
    "how far values have to move",
    right=_distance,
    cases=lambda: [_samples(5, 12), _samples(6, 7), _samples(7, 1)],
    mistakes={
        "you compare neuron with neuron; two distributions are compared after sorting both.": (
            lambda a, b: (a - b).abs().mean()
        ),
        "only one of the two is sorted.": lambda a, b: (a.sort().values - b).abs().mean(),
        "only one of the two is sorted; sort b as well as a.": (
            lambda a, b: (a - b.sort().values).abs().mean()
        ),
        "this is the difference of the means; distributions of one mean can still differ.": (
            lambda a, b: (a.mean() - b.mean()).abs()
        ),
        "moves to the left and to the right must not cancel: take the absolute value of each.": (
            lambda a, b: (a.sort().values - b.sort().values).mean()
        ),
        "these are squared moves; take their absolute values.": (
            lambda a, b: (a.sort().values - b.sort().values).square().mean()
        ),
        "this is the root of the mean square; the distance asked for is the mean of the moves.": (
            lambda a, b: (a.sort().values - b.sort().values).square().mean().sqrt()
        ),
        "this is the sum of all moves; divide by n.": lambda a, b: len(a) * _distance(a, b),
        "this is the largest move; take their mean.": (
            lambda a, b: (a.sort().values - b.sort().values).abs().max()
        ),
    },
)

# 3.4 ---------------------------------------------------------------------------------------------


def _both(x: Tensor) -> tuple[Tensor, Tensor]:
    """What the norm says on average, and what is wanted."""
    width = x.shape[-1:]
    return layer_norm(x, width).mean(0), layer_norm(x.mean(0), width)


def _fit(said: Tensor, wanted: Tensor, axes: int | None = None) -> Tensor:
    return (said * wanted).sum(axes) / said.square().sum(axes)


def _gain(x: Tensor) -> Tensor:
    return _fit(*_both(x))


def _spikes(seed: int, *shape: int) -> tuple[Tensor]:
    draw = seeded(seed)
    rates = 0.8 * torch.rand(shape[1:], generator=draw)
    return ((torch.rand(shape, generator=draw) < rates).float(),)


GAIN = Exercise(
    "3.4",
    "the best gain",
    right=_gain,
    cases=lambda: [_spikes(8, 6, 5, 12), _spikes(9, 10, 3, 8)],
    mistakes={
        "this is one over the slope, which makes the slope 1; least squares asks for the smallest "
        "error, and part of what is said is error: divide by the squares of what is SAID.": (
            lambda x: 1 / _fit(*_both(x)[::-1])
        ),
        "this is the slope, the factor that was lost; the gain has to undo it.": (
            lambda x: _fit(*_both(x)[::-1])
        ),
        "this gain fits what is wanted to what is said; turn it round.": lambda x: 1 / _gain(x),
        "this makes the two equally large; how well they agree matters too: use their product.": (
            lambda x: (_both(x)[1].square().sum() / _both(x)[0].square().sum()).sqrt()
        ),
        "one number for all tokens and channels: add up over both.": (
            lambda x: _fit(*_both(x), axes=-1)
        ),
        "this is the average of each token's own gain; one gain for all minimises the error of all "
        "together.": lambda x: _fit(*_both(x), axes=-1).mean(),
        "you fit every step to what is wanted; fit the MEAN over the steps.": (
            lambda x: _fit(layer_norm(x, x.shape[-1:]), _both(x)[1])
        ),
    },
)

EXERCISES = (RUNNING, FOLD, DISTANCE, GAIN)
