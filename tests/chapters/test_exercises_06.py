"""The checkers of chapter 6 accept right answers and refuse plausible wrong ones, helpfully."""

import pytest
import torch
from answers import refused

from mstlib.exercises import check, find

NUMBERS = ("6.1", "6.2", "6.3", "6.4")


# Right answers, written differently from the checker's own.


def fold(weight, bias, gamma, beta, mean, var, eps):
    norm = torch.nn.BatchNorm1d(len(bias), eps=eps)
    norm.weight.data, norm.bias.data = gamma, beta
    norm.running_mean, norm.running_var = mean, var
    norm.eval()
    with torch.no_grad():
        new_bias = norm(bias[None])[0]
        columns = [norm((bias + column)[None])[0] - new_bias for column in weight.T]
    return torch.stack(columns, 1), new_bias


def product_error(q, k):
    # A covariance over time, summed over the features.
    return torch.einsum("tid,tjd->ij", q - q.mean(0), k - k.mean(0)) / len(q)


def accuracy(logits, labels):
    right = [logits[: t + 1].mean(0).argmax(-1) == labels for t in range(len(logits))]
    return torch.stack(right).float().mean(1)


def compensated(f, x):
    out, given = [], 0
    for t in range(1, len(x) + 1):
        owed = t * f(x[:t].mean(0))
        out.append(owed - given)
        given = owed
    return torch.stack(out)


RIGHT = dict(zip(NUMBERS, (fold, product_error, accuracy, compensated), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


# Wrong answers as a reader would write them, and a word that the message must contain.

WRONG = [
    (
        "6.1",
        lambda w, b, g, be, m, v, e: (w * (g / v.sqrt())[:, None], (b - m) * g / v.sqrt() + be),
        "ε",
    ),
    (
        "6.1",
        lambda w, b, g, be, m, v, e: (w * (g / (v + e))[:, None], (b - m) * g / (v + e) + be),
        "standard deviation",
    ),
    (
        "6.1",
        lambda w, b, g, be, m, v, e: (w * (g / (v + e).sqrt()), (b - m) * g / (v + e).sqrt() + be),
        "rows",
    ),
    (
        "6.1",
        lambda w, b, g, be, m, v, e: (
            w * (g / (v + e).sqrt())[:, None],
            b + be - m * g / (v + e).sqrt(),
        ),
        "bias is not scaled",
    ),
    ("6.2", lambda q, k: q.mean(0) @ k.mean(0).T - (q @ k.mT).mean(0), "sign"),
    ("6.2", lambda q, k: (q @ k).mean(0) - q.mean(0) @ k.mean(0), "transposed"),
    ("6.2", lambda q, k: (q @ k.mT).sum(0) - q.sum(0) @ k.sum(0).T, "take means"),
    ("6.2", lambda q, k: (q * k).mean(0) - q.mean(0) * k.mean(0), "matrix product"),
    ("6.3", lambda x, y: (x.argmax(-1) == y).float().mean(1), "first t"),
    ("6.3", lambda x, y: (x.cumsum(0).argmax(-1) == y).float().mean(0), "over the images"),
    ("6.3", lambda x, y: (x.mean(0).argmax(-1) == y).float().mean(), "for every step"),
    ("6.3", lambda x, y: (x.softmax(-1).cumsum(0).argmax(-1) == y).float().mean(1), "logits"),
    ("6.4", lambda f, x: f(x), "mean of f"),
    ("6.4", lambda f, x: f(x.mean(0)).expand_as(x).clone(), "future"),
    (
        "6.4",
        lambda f, x: torch.stack([f(x[: t + 1].mean(0)) for t in range(len(x))]),
        "running mean",
    ),
    (
        "6.4",
        lambda f, x: torch.stack([(t + 1) * f(x[: t + 1].mean(0)) for t in range(len(x))]),
        "grows for ever",
    ),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)


def test_a_compensated_function_has_the_mean_it_promises():
    function, x = find("6.4").cases()[0]
    assert torch.allclose(compensated(function, x).mean(0), function(x.mean(0)), atol=1e-6)
