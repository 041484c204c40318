"""The checkers of chapter 4 accept right answers and refuse plausible wrong ones, helpfully."""

import pytest
import torch
from answers import refused
from reading import answer_names, solution

from mstlib.exercises import check

NOTEBOOK = "04_spiking_self_attention.ipynb"
NUMBERS = ("4.1", "4.2", "4.3", "4.4")


# Right answers, written differently from the checker's own.


def bias(a, b, steps):
    v, fired, together = [torch.full_like(a, 0.5)] * 2, [0, 0], 0
    for _ in range(steps):
        u = [v[0] + a, v[1] + b]
        spikes = [(x >= 1).to(a.dtype) for x in u]
        v = [x - s for x, s in zip(u, spikes, strict=True)]
        fired = [n + s for n, s in zip(fired, spikes, strict=True)]
        together = together + spikes[0] * spikes[1]
    return together / steps - fired[0] * fired[1] / steps**2


def exact(q, k):
    total = q.cumsum(0) @ k.cumsum(0).mT
    return torch.cat([total[:1], total.diff(dim=0)])


def gap(a, bias):
    rows = []
    for i in range(len(bias)):
        weights = torch.stack([torch.softmax(step[i] + bias[i], 0) for step in a])
        wanted = torch.softmax(a[:, i].mean(0) + bias[i], 0)
        rows.append(torch.linalg.vector_norm(weights.mean(0) - wanted, ord=1))
    return torch.stack(rows)


def apart(tokens, side, shift):
    result = torch.zeros(tokens**2, tokens**2, dtype=torch.bool)
    for i in range(tokens**2):
        for j in range(tokens**2):
            ends = [divmod(i, tokens), divmod(j, tokens)]
            places = [[(x - shift) % tokens for x in end] for end in ends]
            together = [x // side for x in places[0]] == [x // side for x in places[1]]
            # Neighbours on the map are as far apart after the roll as before it.
            moved = any(p - q != x - y for p, q, x, y in zip(*places, *ends, strict=True))
            result[i, j] = together and moved
    return result


RIGHT = dict(zip(NUMBERS, (bias, exact, gap, apart), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_hidden_solution(number):
    assert answer_names(NOTEBOOK).keys() == set(NUMBERS)
    result = check(number, solution(NOTEBOOK, number, torch=torch))
    assert result.passed, result.message


# Wrong answers as a reader would write them, and a word that the message must contain.


def never_rounded(a, b, steps):
    return torch.where(a == b, a * (1 - a), torch.minimum(a, b) - a * b)


WRONG = [
    ("4.1", never_rounded, "count the meetings"),
    ("4.1", lambda a, b, n: bias(a, b, n) * n, "divide by the number of steps"),
    ("4.2", lambda q, k: torch.einsum("tnd,tmd->tnm", q, k), "different steps"),
    ("4.2", lambda q, k: q.cumsum(0) @ k.mT + q @ k.cumsum(0).mT, "counted twice"),
    ("4.2", lambda q, k: torch.cumsum(q, 0) @ torch.cumsum(k, 0).mT, "ADDS"),
    ("4.3", lambda a, b: gap(a, 0 * b.nan_to_num(neginf=0)), "position bias is missing"),
    ("4.3", lambda a, b: gap(a, b) / len(b), "not their mean"),
    ("4.4", lambda n, s, h: ~(apart(n, s, h) | True), "roll joins the two ends"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
