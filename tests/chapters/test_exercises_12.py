"""The checkers of chapter 12 accept right answers and refuse plausible wrong ones, helpfully."""

import json
import re

import pytest
import torch
from answers import refused
from reading import answer_names, solution

from mstlib.exercises import check

NUMBERS = ("12.1", "12.2", "12.3", "12.4")
CHAPTER = "12_full_scale.ipynb"


# Right answers, written differently from the checker's own.


def rows(batch, rank, world, parts):
    mine = [row for row in range(batch) if row % world == rank]
    size = len(mine) // parts
    return torch.tensor([mine[k * size : (k + 1) * size] for k in range(parts)])


def right(images, accuracy):
    return sum(round(n * a) for n, a in zip(images.tolist(), accuracy.tolist(), strict=True))


def finished(text):
    whole = re.findall(r'^\{"block": (\d+), "right": (\d+)\}$', text, re.M)
    return {int(block): int(count) for block, count in whole}


def bill(images, epochs, rate, watts, devices, pue):
    hours = images * epochs / (rate * devices * 3600)
    return [hours, hours * devices * watts * pue / 1000]


RIGHT = dict(zip(NUMBERS, (rows, right, finished, bill), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_hidden_solution(number):
    result = check(number, solution(CHAPTER, number, torch=torch, json=json))
    assert result.passed, result.message


def test_the_chapter_checks_every_exercise():
    assert tuple(answer_names(CHAPTER)) == NUMBERS


# Wrong answers as a reader would write them, and a word that the message must contain.
WRONG = [
    ("12.1", lambda b, r, w, p: torch.arange(b).view(w, p, -1)[r], "every world-th row"),
    ("12.1", lambda b, r, w, p: rows(b, r, w, p).float(), "dtype"),
    ("12.1", lambda b, r, w, p: rows(b, r, w, p).T, "shape"),
    ("12.2", lambda n, a: int((n * a).sum()), "round each product"),
    ("12.2", lambda n, a: sum(int(x) for x in n * a), "round"),
    ("12.2", lambda n, a: right(n, a) + 1, "yours gives"),
    ("12.3", lambda t: {e["block"]: e["right"] for e in map(json.loads, t.split())}, "raised"),
    ("12.3", lambda t: finished(t.rsplit("\n", 1)[0] + "\n"), "yours gives"),
    ("12.4", lambda i, e, r, w, d, p: bill(i, e, r, w, d, p)[0], "2 values"),
    ("12.4", lambda i, e, r, w, d, p: bill(i, e, r * 60, w, d, p), "yours gives"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
