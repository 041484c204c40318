"""The checkers of chapter 11 accept right answers and refuse plausible wrong ones, helpfully."""

import numpy as np
import pytest
import torch
from answers import refused
from reading import answer_names, solution

from mstlib.data.events import EVENT
from mstlib.data.events.frames import cuts
from mstlib.exercises import check

NUMBERS = ("11.1", "11.2", "11.3", "11.4")
CHAPTER = "11_events.ipynb"


# Right answers, written differently from the checker's own: with the library, where it has them.


def sent(times, refractory):
    left, kept = times.double(), torch.zeros(len(times), dtype=torch.bool)
    while len(left):
        kept |= times == left[0]
        left = left[left >= left[0] + refractory]
    return kept


def decode(rows):
    words = rows[:, 2:].to(torch.int64) @ torch.tensor([65536, 256, 1])
    return torch.stack([words % 2**23, *rows[:, :2].long().T, words // 2**23], dim=1)


def slices_of(t, n):
    events = np.zeros(len(t), EVENT)
    events["t"] = t.numpy()
    return torch.repeat_interleave(torch.from_numpy(np.diff(cuts(events, n, "time"))))


def backwards(frames):
    return torch.stack([torch.stack([dark, bright][::-1]) for dark, bright in frames][::-1])


RIGHT = dict(zip(NUMBERS, (sent, decode, slices_of, backwards), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_hidden_solution(number):
    result = check(number, solution(CHAPTER, number, torch=torch))
    assert result.passed, result.message


def test_the_chapter_checks_every_exercise():
    assert tuple(answer_names(CHAPTER)) == NUMBERS


# Wrong answers as a reader would write them, and a word that the message must contain.
WRONG = [
    ("11.1", lambda t, r: torch.diff(t, prepend=t[:1] - r) >= r, "sent"),
    ("11.1", lambda t, r: ~sent(t, r), "lost"),
    ("11.1", lambda t, r: sent(t, r + 1e-3), ">="),
    ("11.1", lambda t, r: sent(t, r).long(), "dtype"),
    ("11.2", lambda r: decode(r)[:, [1, 2, 0, 3]], "in this order"),
    ("11.2", lambda r: decode(r) + torch.tensor([0, 0, 0, 1]), "yours gives"),
    ("11.2", lambda r: decode(r).int(), "dtype"),
    ("11.3", lambda t, n: torch.bucketize(t, torch.linspace(t[0], t[-1], n + 1)), "yours gives"),
    ("11.3", lambda t, n: torch.arange(len(t)) // -(-len(t) // n), "yours gives"),
    ("11.3", lambda t, n: slices_of(t, n).float(), "dtype"),
    ("11.4", lambda f: f.flip(0), "brighter now grows darker"),
    ("11.4", lambda f: f.flip(1), "last frame"),
    ("11.4", lambda f: f.flip(0).flatten(0, 1), "shape"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
