"""The checkers of chapter 3 accept right answers and refuse plausible wrong ones, helpfully."""

import pytest
import torch
from answers import refused
from reading import answer_names, solution
from torch import nn
from torch.nn.functional import layer_norm

from mstlib.exercises import check

NUMBERS = ("3.1", "3.2", "3.3", "3.4")
NOTEBOOK = "03_layernorm_against_batchnorm.ipynb"


# Right answers, written differently from the checker's own.


def update(x, mean, var, momentum):
    norm = nn.BatchNorm1d(x.shape[-1], momentum=momentum)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.train()(x.flatten(0, 1))
    return norm.running_mean, norm.running_var


def fold_both(before, weight, bias, behind):
    def through(x):
        return behind[0] * (weight @ (before[0] * x + before[1]) + bias) + behind[1]

    zero = through(torch.zeros(weight.shape[1]))
    return torch.stack([through(unit) - zero for unit in torch.eye(weight.shape[1])], 1), zero


def wasserstein(a, b):
    # Between two staircases, the area is the same seen from either axis.
    points = torch.cat([a, b]).sort().values
    below = [(s[None] <= points[:-1, None]).float().mean(1) for s in (a, b)]
    return ((below[0] - below[1]).abs() * points.diff()).sum()


def best_gain(x):
    said = layer_norm(x, x.shape[-1:]).mean(0).flatten()
    wanted = layer_norm(x.mean(0), x.shape[-1:]).flatten()
    return torch.linalg.lstsq(said[:, None], wanted[:, None]).solution.squeeze()


RIGHT = dict(zip(NUMBERS, (update, fold_both, wasserstein, best_gain), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_hidden_solution(number):
    assert answer_names(NOTEBOOK)[number] in ("update", "fold_both", "wasserstein", "best_gain")
    result = check(number, solution(NOTEBOOK, number, torch=torch))
    assert result.passed, result.message


# Wrong answers as a reader would write them, and a word that the message must contain.

WRONG = [
    (
        "3.1",
        lambda x, m, v, k: (
            (1 - k) * m + k * x.mean((0, 1)),
            (1 - k) * v + k * (x - x.mean((0, 1))).square().mean((0, 1)),
        ),
        "unbiased",
    ),
    (
        "3.1",
        lambda x, m, v, k: (k * m + (1 - k) * x.mean((0, 1)), k * v + (1 - k) * x.var((0, 1))),
        "NEW",
    ),
    ("3.1", lambda x, m, v, k: (x.mean((0, 1)), x.var((0, 1))), "mix"),
    (
        "3.2",
        lambda n, w, b, m: (m[0][:, None] * w * n[0], m[0] * b + m[1]),
        "first norm is lost",
    ),
    (
        "3.2",
        lambda n, w, b, m: (w * n[0][:, None] * m[0], (b + w @ n[1]) * m[0] + m[1]),
        "columns",
    ),
    (
        "3.2",
        lambda n, w, b, m: (w * n[0] * m[0][:, None], (b + (w * n[0]) @ n[1]) * m[0] + m[1]),
        "only the weight acts on it",
    ),
    ("3.3", lambda a, b: torch.nn.functional.l1_loss(a, b), "sorting both"),
    ("3.3", lambda a, b: (a.sort()[0] - b.sort()[0]).pow(2).mean() ** 0.5, "root"),
    ("3.3", lambda a, b: abs(a.mean() - b.mean()), "means"),
    ("3.4", lambda x: 1 / best_gain(x), "turn it round"),
    (
        "3.4",
        lambda x: (
            layer_norm(x.mean(0), x.shape[-1:]).std() / layer_norm(x, x.shape[-1:]).mean(0).std()
        ),
        "equally large",
    ),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
