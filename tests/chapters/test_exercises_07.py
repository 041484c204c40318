"""The checkers of chapter 7 accept right answers and refuse plausible wrong ones, helpfully."""

import math

import pytest
import torch
from answers import refused
from reading import answer_names, solution
from torch import nn

from mstlib.exercises import check, find
from mstlib.train import divergence

NUMBERS = ("7.1", "7.2", "7.3", "7.4", "7.5")
NOTEBOOK = "07_random_spike_masking.ipynb"


# Right answers, written differently from the checker's own.


def mask(spikes, numbers, p):
    return torch.where(numbers < p, torch.zeros(()), spikes)


def score(q, k, p):
    per_step = torch.einsum("ti,ti->t", q, k)
    pi = (1 - p) * (1 - p)
    mean = pi * per_step.mean()
    sd = (pi * (1 - pi) * per_step.sum()).sqrt() / len(q)
    return mean, sd / mean


def draws(n, T, p):
    return math.sqrt((n / T) ** 2 * p * (1 - p)), math.sqrt(n * p * (1 - p)) / T


def loss(draws, teacher, labels, share, tau):
    student = draws.sum(0) / len(draws)
    hard = nn.functional.nll_loss(student.log_softmax(-1), labels)
    return (1 - share) * hard + share * divergence(student, teacher, tau)


def ratios(whole, without, spared, strong, gentle):
    chosen = [gentle] * len(without)
    for block, left in enumerate(without):
        if left >= whole - spared:
            chosen[block] = strong
    return chosen


RIGHT = dict(zip(NUMBERS, (mask, score, draws, loss, ratios), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
def test_accepts_the_right_answer_however_it_is_written(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


def soft(s, t, tau):
    p = (t / tau).softmax(-1)
    return (p * ((t / tau).log_softmax(-1) - (s / tau).log_softmax(-1))).sum(-1).mean()


def wrong_loss(kl, share=lambda w: w, student=lambda draws: draws.mean(0)):
    def answer(draws, t, y, w, tau):
        s = student(draws)
        hard = nn.functional.cross_entropy(s, y)
        return (1 - share(w)) * hard + share(w) * kl(s, t, tau)

    return answer


def full(s, t, tau):
    return tau**2 * soft(s, t, tau)


# Wrong answers as a reader would write them, and a word that the message must contain.

WRONG = [
    ("7.1", lambda s, n, p: s * (n >= p) / (1 - p), "rescale"),
    ("7.1", lambda s, n, p: s * (n < p), "DROP"),
    ("7.1", lambda s, n, p: (1 - p) * s, "on average"),
    ("7.1", lambda s, n, p: s * (n[0] >= p), "afresh"),
    ("7.1", lambda s, n, p: 1.0 * (n >= p), "multiply it"),
    ("7.1", lambda s, n, p: ((n >= p) & (s > 0)).float(), "another size"),
    (
        "7.2",
        lambda q, k, p: (
            (1 - p) * (q * k).sum() / len(q),
            (p / ((1 - p) * (q * k).sum())).sqrt(),
        ),
        "BOTH",
    ),
    ("7.2", lambda q, k, p: score(q, k, p)[::-1], "mean first"),
    ("7.2", lambda q, k, p: (len(q) * score(q, k, p)[0], score(q, k, p)[1]), "divide"),
    ("7.2", lambda q, k, p: (score(q, k, p)[0], score(q, k, p)[1] ** 2), "VARIANCE"),
    ("7.2", lambda q, k, p: (score(q, k, p)[0], math.prod(score(q, k, p))), "relative"),
    ("7.3", lambda n, T, p: ((n / T) ** 2 * p * (1 - p), n * p * (1 - p) / T**2), "root"),
    ("7.3", lambda n, T, p: draws(n, T, p)[::-1], "MORE"),
    (
        "7.3",
        lambda n, T, p: (draws(n, T, p)[0], n / T * math.sqrt(p * (1 - p) / T)),
        "√n",
    ),
    ("7.3", lambda n, T, p: (draws(n, T, p)[0],) * 2, "add up"),
    ("7.3", lambda n, T, p: (n / T * math.sqrt(p), math.sqrt(n * p) / T), "coin"),
    ("7.4", wrong_loss(soft), "τ² is missing"),
    ("7.4", wrong_loss(lambda s, t, tau: tau * soft(s, t, tau)), "not τ"),
    ("7.4", wrong_loss(lambda s, t, tau: tau**2 * soft(t, s, tau)), "turned round"),
    ("7.4", wrong_loss(full, lambda w: 1 - w), "wrong term"),
    ("7.4", wrong_loss(lambda s, t, tau: full(s, t * tau, tau)), "BOTH"),
    ("7.4", wrong_loss(lambda s, t, tau: full(s, t, tau) / s.shape[-1]), "classes"),
    ("7.4", wrong_loss(full, student=lambda draws: draws[0]), "first draw"),
    ("7.4", wrong_loss(full, student=lambda draws: draws.sum(0)), "SUMS"),
    ("7.4", lambda d, *rest: sum(loss(one[None], *rest) for one in d) / len(d), "ONCE"),
    ("7.5", lambda w, x, d, s, g: ratios(w, x, d, g, s), "other way round"),
    ("7.5", lambda w, x, d, s, g: [s if a <= d else g for a in x], "LOSS"),
    ("7.5", lambda w, x, d, s, g: [s if a > w - d else g for a in x], "exactly"),
    ("7.5", lambda w, x, d, s, g: [s if abs(w - a) <= d else g for a in x], "RAISES"),
]


@pytest.mark.parametrize(("number", "answer", "word"), WRONG)
def test_refuses_a_plausible_wrong_answer_and_says_why(number, answer, word):
    refused(number, answer, word)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_hidden_solution_is_right(number):
    assert set(answer_names(NOTEBOOK)) == set(NUMBERS)
    result = check(number, solution(NOTEBOOK, number, torch=torch, nn=nn))
    assert result.passed, result.message


def test_scores_and_draws_vary_as_the_exercises_say():
    """The formulas of 7.2 and 7.3 against 4000 masks."""
    draw = torch.Generator().manual_seed(0)
    q, k, p = find("7.2").cases()[0]
    kept = torch.rand(4000, 2, *q.shape, generator=draw) >= p
    scores = (q * kept[:, 0] * k * kept[:, 1]).sum((1, 2)) / len(q)
    mean, relative = score(q, k, p)
    assert float(scores.mean()) == pytest.approx(float(mean), rel=0.05)
    assert float(scores.std() / scores.mean()) == pytest.approx(float(relative), rel=0.05)

    n, T, p = find("7.3").cases()[0]
    kept = (torch.rand(4000, n, generator=draw) >= p).float()
    whole, apart = draws(n, T, p)
    assert float((n / T * kept[:, 0]).std()) == pytest.approx(whole, rel=0.05)
    assert float((kept.sum(1) / T).std()) == pytest.approx(apart, rel=0.05)
