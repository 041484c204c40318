"""The checkers of chapter 10 accept right answers and refuse plausible wrong ones, helpfully."""

import math

import pytest
import torch
from answers import refused
from reading import answer_names, solution
from scipy.stats import spearmanr

from mstlib.analysis import faithfulness, saliency
from mstlib.exercises import check

NUMBERS = ("10.1", "10.2", "10.3", "10.4")
CHAPTER = "10_what_it_looks_at.ipynb"


# Right answers, written differently from the checker's own.


def one_pass(spikes, gamma):
    return saliency.spike_activation_map(spikes, gamma).float()


def hit_rate(maps, masks):
    return float(faithfulness.hits(maps, masks).mean())


def deletion_area(score, image, order):
    curve = []
    for gone in range(len(order) + 1):
        kept = torch.ones(len(image))
        kept[order[:gone]] = 0
        curve.append(score(image * kept))
    return torch.trapezoid(torch.stack(curve), dx=1 / len(order))


def beyond(a, b):
    table = [[spearmanr(x.flatten(), y.flatten())[0] for y in b] for x in a]
    same = [table[i][i] for i in range(len(a))]
    other = [table[i][j] for i in range(len(a)) for j in range(len(a)) if i != j]
    return sum(same) / len(same) - sum(other) / len(other)


RIGHT = dict(zip(NUMBERS, (one_pass, hit_rate, deletion_area, beyond), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_hidden_solution(number):
    result = check(number, solution(CHAPTER, number, torch=torch, math=math))
    assert result.passed, result.message


def test_the_chapter_checks_every_exercise():
    assert tuple(answer_names(CHAPTER)) == NUMBERS


def including_itself(spikes, gamma):
    score, maps = torch.zeros_like(spikes[0]), []
    for s in spikes:
        score = math.exp(-gamma) * score + s
        maps.append((score * s).sum(-1))
    return torch.stack(maps)


# Wrong answers as a reader would write them, and a word that the message must contain.
WRONG = [
    ("10.1", including_itself, "counts itself"),
    ("10.1", lambda s, g: one_pass(s, g).flip(0), "yours gives"),
    ("10.1", lambda s, g: saliency.contributions(s, g).sum(-1).float(), "multiply by s"),
    ("10.1", lambda s, g: one_pass(s, g) / s.shape[-1], "mean over the channels"),
    (
        "10.2",
        lambda m, k: (
            k.flatten(1)[torch.arange(len(m)), m.flatten(1).argmax(1)].double().mean().item()
        ),
        "argmax",
    ),
    ("10.2", lambda m, k: faithfulness.hits(m, k).float(), "their mean"),
    ("10.2", lambda m, k: faithfulness.energy(m, k).mean().item(), "energy"),
    (
        "10.3",
        lambda score, image, order: sum(
            score(image * (torch.arange(len(image)) != place)).item() for place in order
        ),
        "yours gives",
    ),
    ("10.3", lambda score, image, order: deletion_area(score, image, order.flip(0)), "insertion"),
    ("10.3", lambda *given: deletion_area(*given) * len(given[2]), "number of pieces"),
    ("10.4", lambda a, b: faithfulness.agreement(a, b).mean().item(), "subtract the mean"),
    ("10.4", lambda a, b: -beyond(a, b), "sign"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)
