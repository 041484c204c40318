"""The checkers of chapter 9 accept right answers and refuse plausible wrong ones, helpfully."""

import math

import pytest
import torch
from answers import refused

from mstlib.exercises import check

NUMBERS = ("9.1", "9.2", "9.3", "9.4")


# Right answers, written differently from the checker's own.


def fan_out(length, kernel, stride, padding):
    x = torch.zeros(1, 1, length, requires_grad=True)
    torch.nn.functional.conv1d(
        x, torch.ones(1, 1, kernel), stride=stride, padding=padding
    ).sum().backward()
    return x.grad[0, 0].round().long()


def account(spikes, mask, fan_out):
    emitted = spikes.sum(-1).mean()
    delivered = spikes[mask == 1].sum() / (spikes.shape[0] * spikes.shape[1])
    return emitted, delivered, ((spikes * mask) @ fan_out).mean()


def saving(share, p):
    return share * p + share * (1 - p) * p


def break_even(steps, add, multiply):
    bits = math.ceil(math.log2(steps + 1))
    return (multiply * bits / 8 + add) / add / steps


RIGHT = dict(zip(NUMBERS, (fan_out, account, saving, break_even), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


# Wrong answers as a reader would write them, and a word that the message must contain.

WRONG = [
    ("9.1", lambda n, k, s, p: k * torch.ones(n, dtype=torch.long), "at the border"),
    ("9.1", lambda n, k, s, p: fan_out(n, k, 1, p), "stride"),
    ("9.1", lambda n, k, s, p: fan_out(n, k, s, 0), "padding"),
    ("9.2", lambda s, m, f: [(s * m).sum(-1).mean()] * 2 + [((s * m) @ f).mean()], "emitted all"),
    ("9.2", lambda s, m, f: (s.sum(-1).mean(), (s * m).sum(-1).mean(), (s @ f).mean()), "no oper"),
    ("9.2", lambda s, m, f: account(s, 1 - m, f), "KEPT"),
    ("9.2", lambda s, m, f: tuple(len(s) * v for v in account(s, m, f)), "divide by T"),
    ("9.2", lambda s, m, f: (s.sum(), (s * m).sum(), (s * m * f).sum()), "by T and by B"),
    ("9.3", lambda share, p: share * p, "either"),
    ("9.3", lambda share, p: share * (1 - p) ** 2, "what is left"),
    ("9.3", lambda share, p: 1 - (1 - p) ** 2, "a share of the operations"),
    ("9.4", lambda T, a, m: (m * math.ceil(math.log2(T)) / 8 + a) / a / T, "T + 1 values"),
    ("9.4", lambda T, a, m: (m * math.ceil(math.log2(T + 1)) / 8 + a) / a, "forgot T"),
    ("9.4", lambda T, a, m: (m + a) / a / T, "falls with the bits"),
    ("9.4", lambda T, a, m: m * math.ceil(math.log2(T + 1)) / 8 / a / T, "AND added"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
