"""Exercises of chapter 7: the mask, masked scores, one draw or many, distillation, ratios."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from mstlib.exercises.grading import Exercise, seeded


def _spikes(seed: int, *shape: int, rate: float = 0.5) -> Tensor:
    return (torch.rand(shape, generator=seeded(seed)) < rate).float()


# 7.1 ---------------------------------------------------------------------------------------------


def _mask(spikes: Tensor, numbers: Tensor, p: float) -> Tensor:
    return spikes * (numbers >= p)


def _to_mask(seed: int, steps: int, neurons: int, p: float) -> tuple[Tensor, Tensor, float]:
    return (
        1.5 * _spikes(seed, steps, neurons, rate=0.7),  # θ = 1.5: what is kept stays as it is
        torch.rand(steps, neurons, generator=seeded(seed + 100)),
        p,
    )


MASK = Exercise(
    "7.1",
    "random spike masking",
    right=_mask,
    cases=lambda: [_to_mask(1, 20, 9, 0.3), _to_mask(2, 7, 30, 0.8), _to_mask(3, 5, 5, 0.0)],
    mistakes={
        "you rescale what is kept by 1/(1 − p), as dropout does; random spike masking leaves "
        "it as it is.": lambda s, n, p: _mask(s, n, p) / (1 - p),
        "you keep a spike with probability p; p is the probability to DROP it.": (
            lambda s, n, p: s * (n < p)
        ),
        "you multiply by 1 − p: that is what the mask leaves on average, and no mask. A spike is "
        "there or not.": lambda s, n, p: s * (1 - p),
        "you use the numbers of the first step for all: the mask is drawn afresh at every step.": (
            lambda s, n, p: s * (n[:1] >= p)
        ),
        "one number a step drops all its neurons together: each spike has a number of its own.": (
            lambda s, n, p: s * (n[:, :1] >= p)
        ),
        "this is the mask; multiply it with the spikes.": lambda s, n, p: (n >= p).float(),
        "what is kept is 1 here, and it came in with another size: multiply, do not replace.": (
            lambda s, n, p: ((s > 0) & (n >= p)).float()
        ),
    },
)

# 7.2 ---------------------------------------------------------------------------------------------


def _score(q: Tensor, k: Tensor, p: float) -> tuple[Tensor, Tensor]:
    together = (q * k).sum()  # pairs of spikes that meet
    kept = (1 - p) ** 2
    return kept * together / len(q), ((1 - kept) / (kept * together)).sqrt()


def _of_sums(q: Tensor, k: Tensor, p: float) -> tuple[Tensor, Tensor]:
    together, kept = (q.sum(0) * k.sum(0)).sum(), (1 - p) ** 2
    return kept * together / len(q), ((1 - kept) / (kept * together)).sqrt()


def _trains(seed: int, steps: int, width: int, p: float) -> tuple[Tensor, Tensor, float]:
    return _spikes(seed, steps, width), _spikes(seed + 100, steps, width, rate=0.6), p


SCORE = Exercise(
    "7.2",
    "what two masks leave of a score",
    right=_score,
    cases=lambda: [_trains(4, 12, 8, 0.75), _trains(5, 30, 5, 0.2), _trains(6, 5, 16, 0.5)],
    mistakes={
        "only one mask is counted: a pair of spikes counts if BOTH are kept, (1 − p)².": (
            lambda q, k, p: _score(q, k, 1 - (1 - p) ** 0.5)
        ),
        "both must be kept, (1 − p)²; 1 − p² is the chance that not both are dropped.": (
            lambda q, k, p: _score(q, k, 1 - (1 - p**2) ** 0.5)
        ),
        "the mean is of one step: divide the sum over all steps by T.": (
            lambda q, k, p: (len(q) * _score(q, k, p)[0], _score(q, k, p)[1])
        ),
        "spikes meet within a step only: sum q·k over steps and features, not the product of "
        "their sums.": _of_sums,
        "this is the relative VARIANCE; its root is the relative standard deviation.": (
            lambda q, k, p: (_score(q, k, p)[0], _score(q, k, p)[1] ** 2)
        ),
        "the second value is not yet relative: divide the standard deviation by the mean.": (
            lambda q, k, p: (_score(q, k, p)[0], _score(q, k, p)[0] * _score(q, k, p)[1])
        ),
        "return the mean first and the relative standard deviation second.": (
            lambda *x: _score(*x)[::-1]
        ),
    },
)

# 7.3 ---------------------------------------------------------------------------------------------


def _draws(n: int, T: int, p: float) -> tuple[float, float]:
    one = (p * (1 - p)) ** 0.5
    return n / T * one, n**0.5 / T * one


DRAWS = Exercise(
    "7.3",
    "one draw, or one for each spike",
    right=_draws,
    cases=lambda: [(16, 64, 0.75), (9, 16, 0.5), (1, 8, 0.25), (50, 256, 0.9)],
    mistakes={
        "these are variances; a standard deviation is the root.": (
            lambda *x: tuple(sd**2 for sd in _draws(*x))
        ),
        "the two are exchanged: a value that is dropped whole varies MORE.": (
            lambda *x: _draws(*x)[::-1]
        ),
        "only the n steps with a spike draw anything that matters: √n, not √T.": (
            lambda n, T, p: (_draws(n, T, p)[0], _draws(n, T, p)[0] / T**0.5)
        ),
        "the variance of a coin is p(1 − p), not p.": (
            lambda n, T, p: tuple(sd / (1 - p) ** 0.5 for sd in _draws(n, T, p))
        ),
        "divide by T: the network reads a rate, not a count.": (
            lambda n, T, p: tuple(T * sd for sd in _draws(n, T, p))
        ),
        "variances of independent draws add up, not standard deviations.": (
            lambda n, T, p: (_draws(n, T, p)[0], _draws(n, T, p)[0])
        ),
        "the means are equal, (1 − p)·n/T; asked is how far a draw lies from them.": (
            lambda n, T, p: ((1 - p) * n / T, (1 - p) * n / T)
        ),
    },
    tolerance=1e-9,
)

# 7.4 ---------------------------------------------------------------------------------------------


def _loss(draws: Tensor, teacher: Tensor, labels: Tensor, share: float, tau: float) -> Tensor:
    return _parts(draws.mean(0), teacher, labels, share, tau, tau**2)


def _parts(
    student: Tensor, teacher: Tensor, labels: Tensor, share: float, tau: float, factor: float
) -> Tensor:
    return (1 - share) * cross_entropy(student, labels) + share * factor * _soft(
        student, teacher, tau
    )


def _soft(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    logits = (x.div(tau).log_softmax(-1) for x in (student, teacher))
    return kl_div(*logits, reduction="batchmean", log_target=True)


def _lesson(seed: int, draws: int, images: int, classes: int, share: float, tau: float) -> tuple:
    draw = seeded(seed)
    student = 2 * torch.randn(draws, images, classes, generator=draw)
    teacher = 2 * torch.randn(images, classes, generator=draw)
    return student, teacher, torch.randint(classes, (images,), generator=draw), share, tau


LOSS = Exercise(
    "7.4",
    "the loss of distillation, for several draws",
    right=_loss,
    cases=lambda: [_lesson(7, 4, 8, 5, 0.4, 2.0), _lesson(8, 2, 3, 10, 0.7, 4.0)],
    mistakes={
        "τ² is missing: without it the teacher's gradient shrinks as τ grows.": (
            lambda d, t, y, w, tau: _parts(d.mean(0), t, y, w, tau, 1.0)
        ),
        "the factor is τ², not τ.": lambda d, t, y, w, tau: _parts(d.mean(0), t, y, w, tau, tau),
        "the divergence is turned round: KL(teacher ‖ student), weighted by what the TEACHER "
        "thinks likely.": lambda d, t, y, w, tau: (
            (1 - w) * cross_entropy(d.mean(0), y) + w * tau**2 * _soft(t, d.mean(0), tau)
        ),
        "the share is on the wrong term: w belongs to the teacher, 1 − w to the labels.": (
            lambda d, t, y, w, tau: _loss(d, t, y, 1 - w, tau)
        ),
        "you average the losses of the draws; the student is judged ONCE, by the mean of its "
        "logits.": lambda d, t, y, w, tau: torch.stack(
            [_loss(one[None], t, y, w, tau) for one in d]
        ).mean(),
        "only the first draw is used; take the mean of the logits over all of them.": (
            lambda d, t, y, w, tau: _loss(d[:1], t, y, w, tau)
        ),
        "these are the SUMS of the logits over the draws; take their mean.": (
            lambda d, t, y, w, tau: _loss(len(d) * d, t, y, w, tau)
        ),
        "the mean is over images, not over images AND classes (reduction='batchmean').": (
            lambda d, t, y, w, tau: _parts(d.mean(0), t, y, w, tau, tau**2 / t.shape[-1])
        ),
        "the sum over the images is not yet a mean (reduction='batchmean').": (
            lambda d, t, y, w, tau: _parts(d.mean(0), t, y, w, tau, tau**2 * len(t))
        ),
        "the temperature divides BOTH logits before they are compared.": (
            lambda d, t, y, w, tau: (
                (1 - w) * cross_entropy(d.mean(0), y) + w * tau**2 * _soft(d.mean(0), t * tau, tau)
            )
        ),
    },
)

# 7.5 ---------------------------------------------------------------------------------------------


def _ratios(
    whole: float, without: list[float], spared: float, strong: float, gentle: float
) -> list[float]:
    return [strong if whole - left <= spared else gentle for left in without]


RATIOS = Exercise(
    "7.5",
    "ratios that fit the blocks",
    right=_ratios,
    # Numbers with few binary digits, so that "at most" can be met exactly.
    cases=lambda: [
        (1.0, [1.0, 0.984375, 0.25, 0.375], 0.015625, 0.9, 0.5),
        (0.75, [0.5, 0.75, 0.9375, 0.625], 0.125, 0.75, 0.0),
        (0.5, [0.5, 0.375], 0.0625, 0.8, 0.1),
        (0.5, [0.5, 0.4375], 0.0625, 0.8, 0.1),
    ],
    mistakes={
        "the other way round: where the lesion costs much, the network NEEDS the content and "
        "must be masked gently.": lambda whole, left, spared, *ratios: _ratios(
            whole, left, spared, *ratios[::-1]
        ),
        "compare the LOSS, whole − without, with what may be lost; not the accuracy itself.": (
            lambda whole, left, *x: _ratios(whole, [whole - a for a in left], *x)
        ),
        "a loss of exactly `spared` is allowed (at most: ≤).": (
            lambda whole, left, spared, *x: _ratios(whole, left, spared - 1e-9, *x)
        ),
        "a block whose lesion RAISES the accuracy loses nothing; the sign of the loss matters.": (
            lambda whole, left, *x: _ratios(whole, [whole - abs(whole - a) for a in left], *x)
        ),
        "each block is judged by itself; you give all blocks one ratio.": (
            lambda whole, left, *x: _ratios(whole, [min(left)] * len(left), *x)
        ),
    },
    tolerance=1e-9,
)

EXERCISES = (MASK, SCORE, DRAWS, LOSS, RATIOS)
