"""Exercises of chapter 6: folding, the error of a product, accuracy over time, an exact softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mstlib.exercises.grading import Exercise, seeded

# 6.1 ---------------------------------------------------------------------------------------------


def _fold(
    weight: Tensor,
    bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    power: float = 0.5,
    columns: bool = False,
) -> tuple[Tensor, Tensor]:
    scale = gamma / (var + eps) ** power
    return weight * (scale if columns else scale[:, None]), (bias - mean) * scale + beta


def _layer(seed: int, outputs: int, inputs: int, eps: float = 1e-5) -> tuple:
    draw = seeded(seed)
    weight = torch.randn(outputs, inputs, generator=draw)
    bias, gamma, beta, mean = (torch.randn(outputs, generator=draw) for _ in range(4))
    return weight, bias, gamma, beta, mean, 0.2 + torch.rand(outputs, generator=draw), eps


FOLD = Exercise(
    "6.1",
    "a BatchNorm, folded into the layer before it",
    right=_fold,
    # Square, so that scaling columns instead of rows runs and is found; a large eps, to be seen.
    cases=lambda: [_layer(1, 6, 6), _layer(2, 5, 5, eps=0.1), _layer(3, 1, 1)],
    mistakes={
        "the variance is not the standard deviation: divide by √(σ² + ε).": partial(_fold, power=1),
        "ε is missing: divide by √(σ² + ε).": lambda *x: _fold(*x[:-1], 0),
        "you scale the columns of W; each output has its own γ/σ, and outputs are rows: "
        "weight * scale[:, None].": partial(_fold, columns=True),
        "the bias is not scaled: BatchNorm acts on W·x + b, so b is scaled like W.": (
            lambda w, b, *n: (_fold(w, b, *n)[0], _fold(w, 0 * b, *n)[1] + b)
        ),
        "the old bias is lost: it is part of what BatchNorm receives.": (
            lambda w, b, *n: _fold(w, 0 * b, *n)
        ),
        "β is missing in the new bias.": lambda w, b, g, be, *n: _fold(w, b, g, 0 * be, *n),
        "μ is missing: BatchNorm subtracts the mean before it scales.": (
            lambda w, b, g, be, m, v, e: _fold(w, b, g, be, 0 * m, v, e)
        ),
        "γ is missing: the scale is γ/√(σ² + ε).": (
            lambda w, b, g, be, m, v, e: _fold(w, b, torch.ones_like(g), be, m, v, e)
        ),
        "return the new weight first and the new bias second.": lambda *x: _fold(*x)[::-1],
    },
)

# 6.2 ---------------------------------------------------------------------------------------------


def _product_error(q: Tensor, k: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1)).mean(0) - q.mean(0) @ k.mean(0).transpose(-2, -1)


def _trains(seed: int, steps: int, tokens: int, width: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    shape = (steps, tokens, width)
    q = (torch.rand(shape, generator=draw) < 0.4).float()
    # Half of the keys fire with the queries, so that the error has one sign.
    k = torch.where(torch.rand(shape, generator=draw) < 0.5, q, 1 - q.roll(1, 0))
    return 1.5 * q, 0.5 * k


PRODUCT = Exercise(
    "6.2",
    "what a product of spikes gets wrong",
    right=_product_error,
    cases=lambda: [_trains(4, 12, 5, 5), _trains(5, 7, 3, 3), _trains(6, 30, 4, 4)],
    mistakes={
        "the sign is turned round: error = what the spikes give minus what is wanted.": (
            lambda *x: -_product_error(*x)
        ),
        "you return what the spikes give; subtract the product of the means.": (
            lambda q, k: (q @ k.transpose(-2, -1)).mean(0)
        ),
        "you return what is wanted; it is to be subtracted from the mean of the products.": (
            lambda q, k: q.mean(0) @ k.mean(0).T
        ),
        "these are sums over the steps; divide by T.": lambda q, k: len(q) * _product_error(q, k),
        "T steps summed are not T products of sums: take means, mean(q) and mean(k) apart.": (
            lambda q, k: (q @ k.transpose(-2, -1)).sum(0) - q.sum(0) @ k.sum(0).T
        ),
        "the keys are not transposed: every query meets every key, q @ k.transpose(-2, -1).": (
            lambda q, k: (q @ k).mean(0) - q.mean(0) @ k.mean(0)
        ),
        "every query meets every key: a matrix product, not element by element.": (
            lambda q, k: (q * k).mean(0) - q.mean(0) * k.mean(0)
        ),
        "keep the sign: an error that is always positive is a bias, and that is the point.": (
            lambda *x: _product_error(*x).abs()
        ),
        "only spikes of the same step meet; you let each step meet every other.": (
            lambda q, k: torch.zeros(q.shape[1], k.shape[1])
        ),
    },
)

# 6.3 ---------------------------------------------------------------------------------------------


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.cumsum(0).argmax(-1) == labels).float().mean(1)


def _answers(seed: int, steps: int, images: int, classes: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    labels = torch.randint(classes, (images,), generator=draw)
    logits = 3 * torch.randn(steps, images, classes, generator=draw)
    logits += one_hot(labels, classes)
    return logits, labels


OVER_TIME = Exercise(
    "6.3",
    "the accuracy after every step",
    right=_accuracy,
    cases=lambda: [_answers(7, 20, 40, 5), _answers(8, 9, 60, 3), _answers(9, 1, 12, 4)],
    mistakes={
        "you judge each step by itself; the answer after t steps is the mean of the first t.": (
            lambda logits, labels: (logits.argmax(-1) == labels).float().mean(1)
        ),
        "you let the steps vote; average their logits, and choose a class after that.": (
            lambda logits, labels: _accuracy(one_hot(logits.argmax(-1), logits.shape[-1]), labels)
        ),
        "you average probabilities; average the logits themselves.": (
            lambda logits, labels: _accuracy(logits.softmax(-1), labels)
        ),
        "you return one number, the accuracy after the last step; return one for every step.": (
            lambda *x: _accuracy(*x)[-1]
        ),
        "you return the number of right answers; divide by the number of images.": (
            lambda logits, labels: _accuracy(logits, labels) * len(labels)
        ),
        "you average over the steps, not over the images: the result has one value a step.": (
            lambda logits, labels: (logits.cumsum(0).argmax(-1) == labels).float().mean(0)
        ),
        "this is in per cent; return shares between 0 and 1.": lambda *x: 100 * _accuracy(*x),
        "you start from the end: after t steps, the FIRST t steps are known.": (
            lambda logits, labels: _accuracy(logits.flip(0), labels)
        ),
    },
)

# 6.4 ---------------------------------------------------------------------------------------------


def _steps(x: Tensor) -> Tensor:
    return torch.arange(1, len(x) + 1, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))


def _compensated(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return _differences(_steps(x) * _of_running_mean(f, x))


def _of_running_mean(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return f(x.cumsum(0) / _steps(x))


def _differences(y: Tensor) -> Tensor:
    return torch.cat([y[:1], y[1:] - y[:-1]])


def _softmax(x: Tensor) -> Tensor:
    return x.softmax(-1)


def _square(x: Tensor) -> Tensor:
    return x * x


def _scores(seed: int, steps: int, *shape: int) -> Tensor:
    return 4.0 * (torch.rand(steps, *shape, generator=seeded(seed)) < 0.4).float()


EXACT = Exercise(
    "6.4",
    "a function of the mean, one step at a time",
    right=_compensated,
    cases=lambda: [
        (_softmax, _scores(10, 12, 3, 5)),
        (_square, _scores(11, 7, 4)),
        (_softmax, _scores(12, 1, 6)),
    ],
    mistakes={
        "this is f of each step; its mean is the mean of f, the very error to avoid.": (
            lambda f, x: f(x)
        ),
        "you give f of the running mean at each step; the mean over the steps of THAT is not "
        "f of the mean. Give t·f(x̄_t) − (t−1)·f(x̄_{t−1}).": _of_running_mean,
        "you give f(x̄_t) − f(x̄_{t−1}); these add up to f(x̄_T), but their mean is 1/T of it. "
        "Weigh them with t and t − 1.": lambda *x: _differences(_of_running_mean(*x)),
        "you take f of the running SUM; divide the sum by t first.": (
            lambda f, x: _differences(f(x.cumsum(0)))
        ),
        "t·f(x̄_t) alone grows for ever; subtract what the earlier steps have already given.": (
            lambda f, x: _steps(x) * _of_running_mean(f, x)
        ),
        "you know the future: step t may use the steps up to t only.": (
            lambda f, x: f(x.mean(0)).expand(len(x), *x.shape[1:])
        ),
    },
    tolerance=1e-4,
)

EXERCISES = (FOLD, PRODUCT, OVER_TIME, EXACT)
