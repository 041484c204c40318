"""The checkers of chapter 8 accept right answers and refuse plausible wrong ones, helpfully."""

import pytest
import torch
from reading import answer_names, solution

from mstlib.exercises import check

NUMBERS = ("8.1", "8.2", "8.3")
NOTEBOOK = "08_beyond_transformers.ipynb"


# Right answers, written differently from the checker's own.


def pooling(spikes):
    fired = (spikes > 0).any(1).float().sum(0) / len(spikes)
    return fired - torch.stack([train.mean(0) for train in spikes.unbind(1)]).max(0).values


def mean(weight, bias, ratio):
    return torch.linalg.solve(torch.eye(weight.shape[1]) * (1 - ratio), weight.T).T, bias.clone()


def deliveries(emitted, masked, unmasked, ratio):
    rows = zip(emitted.tolist(), masked.tolist(), unmasked.tolist(), strict=True)
    return torch.tensor([e * u + e * m - ratio * e * m for e, m, u in rows]).double()


RIGHT = dict(zip(NUMBERS, (pooling, mean, deliveries), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


WRONG = [
    ("8.1", lambda s: s.mean(0).amax(0) - s.amax(1).mean(0), "sign"),
    ("8.1", lambda s: s.amax(1).sum(0) - s.sum(0).amax(0), "divide by T"),
    ("8.1", lambda s: torch.zeros(s.shape[2]), "at every step"),
    ("8.1", lambda s: s.amax(0).mean(0) - s.mean(0).amax(0), "axis 0 is time"),
    ("8.2", lambda w, b, p: (w / (1 - p), b / (1 - p)), "bias is not a spike"),
    ("8.2", lambda w, b, p: (w * (1 - p), b), "divide"),
    ("8.2", lambda w, b, p: (w / (1 - p) / (1 - p), b), "squared"),
    ("8.2", lambda w, b, p: (w, b), "unchanged"),
    ("8.3", lambda e, m, u, p: e * (1 - p) * (u + m), "shortcut has no mask"),
    ("8.3", lambda e, m, u, p: e * u + e * p * m, "dropped"),
    ("8.3", lambda e, m, u, p: e * (1 - p) * m, "unmasked readers"),
    ("8.3", lambda e, m, u, p: e * m + e * u, "emitted"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_names_the_mistake(number, answer, word):
    result = check(number, answer)
    assert not result.passed
    assert word in result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_the_hidden_solution_is_right(number):
    assert set(answer_names(NOTEBOOK)) == set(NUMBERS)
    answer = solution(NOTEBOOK, number, torch=torch)
    assert check(number, answer).passed
