"""Chapter 2's checkers: they accept the hidden solutions and name the usual mistakes."""

import pytest
import torch
from reading import answer_names, solution

from mstlib.exercises import check
from mstlib.qcfs import qcfs

NOTEBOOK = "02_relu_to_spikes.ipynb"
NUMBERS = ["2.1", "2.2", "2.3", "2.4"]


def refuses(number, answer, said):
    result = check(number, answer)
    assert not result.passed
    assert said in result.message


def test_notebook_has_every_exercise():
    assert list(answer_names(NOTEBOOK)) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_hidden_solution_passes(number):
    result = check(number, solution(NOTEBOOK, number, torch=torch))
    assert result.passed
    assert repr(result).startswith(f"✓ {number} ")


@pytest.mark.parametrize("number", NUMBERS)
def test_stub_is_not_attempted(number):
    assert repr(check(number, lambda *inputs: None)) == f"… {number} not attempted yet"


# 2.1


def by_autograd(x, threshold, levels):
    theta = torch.full_like(x, threshold, requires_grad=True)
    qcfs(x, theta, levels).sum().backward()
    return theta.grad


def test_gradient_agrees_with_autograd():
    assert check("2.1", by_autograd).passed


def level(x, threshold, levels):
    return (x * levels / threshold + 0.5).floor() / levels


WRONG_GRADIENTS = {
    "the term −x/θ is missing": lambda x, t, levels: level(x, t, levels).clamp(0, 1),
    "the clip is missing": lambda x, t, levels: level(x, t, levels) - x / t,
    "the rounding error": lambda x, t, levels: (level(x, t, levels) > 1).float(),
    "the sign": lambda x, t, levels: -by_autograd(x, t, levels),
    "gradient for x": lambda x, t, levels: (
        (level(x, t, levels) >= 0) & (level(x, t, levels) <= 1)
    ).float(),
    "yours gives": lambda x, t, levels: t * by_autograd(x, t, levels),
}


@pytest.mark.parametrize("said", WRONG_GRADIENTS)
def test_wrong_gradient(said):
    refuses("2.1", WRONG_GRADIENTS[said], said)


# 2.2


def network(
    x, w1, b1, theta, w2, b2, steps, start=0.5, reset="soft", weight=None, b1_at=None, b2_at=None,
    input_at=None, divide=0,
):  # fmt: skip
    """The spiking network with its parts switched off one by one; `…_at` is the only step."""
    v = torch.full((len(x), len(w1)), start * theta)
    total = torch.zeros(len(x), len(w2))
    for t in range(steps):
        u = v
        if input_at in (None, t):
            u = u + x @ w1.T
        if b1_at in (None, t):
            u = u + b1
        s = (u >= theta).float()
        v = u - theta * s if reset == "soft" else u * (1 - s)
        total = total + (theta if weight is None else weight) * s @ w2.T
        if b2_at in (None, t):
            total = total + b2
    return total / (divide or steps)


WRONG_NETWORKS = {
    "each is worth θ": {"weight": 1.0},
    "start them at θ/2": {"start": 0.0},
    "reset to zero": {"reset": "zero"},
    "image enters at the first step only": {"input_at": 0},
    "first bias enters once": {"b1_at": 0},
    "second bias is added once": {"b2_at": 0},
    "sum over the steps": {"divide": 1},
}


@pytest.mark.parametrize("said", WRONG_NETWORKS)
def test_wrong_network(said):
    refuses("2.2", lambda *inputs: network(*inputs, **WRONG_NETWORKS[said]), said)


def test_network_with_one_step_too_many():
    refuses("2.2", lambda *i: network(*i, divide=i[-1] + 1), "T + 1")
    refuses("2.2", lambda *i: network(*i[:-1], i[-1] + 1), "yours gives")


def test_network_without_time_is_refused():
    def numbers(x, w1, b1, theta, w2, b2, steps):
        return (x @ w1.T + b1).relu() @ w2.T + b2

    refuses("2.2", numbers, "yours gives")


def test_network_that_changes_its_weights_is_refused():
    def adds_bias_in_place(x, w1, b1, theta, w2, b2, steps):
        answer = network(x, w1, b1, theta, w2, b2, steps)
        w2.mul_(theta)
        return answer

    refuses("2.2", adds_bias_in_place, "`w2` in place")


# 2.3


def errors(x, candidates, levels, half=0.5):
    kept = [t * ((x * levels / t + half).floor() / levels).clamp(0, 1) for t in candidates]
    return torch.stack([(k - x.relu()).square().mean() for k in kept])


WRONG_CHOICES = {
    "largest candidate": lambda x, c, levels: c.max(),
    "position": lambda x, c, levels: errors(x, c, levels).argmin(),
    "error itself": lambda x, c, levels: errors(x, c, levels).min(),
    "half is missing": lambda x, c, levels: c[errors(x, c, levels, half=0).argmin()],
    "worst": lambda x, c, levels: c[errors(x, c, levels).argmax()],
    "yours gives": lambda x, c, levels: c[errors(x, c, 2 * levels).argmin()],
}


@pytest.mark.parametrize("said", WRONG_CHOICES)
def test_wrong_choice(said):
    refuses("2.3", WRONG_CHOICES[said], said)


# 2.4


def parts(current, theta, half=0.5, start=0.5):
    steps, mean = len(current), current.mean(0)
    v, count = torch.full_like(mean, start * theta), torch.zeros_like(mean)
    for z in current:
        u = v + z
        s = (u >= theta).float()
        v, count = u - theta * s, count + s
    clipped = mean.clamp(0, theta)
    even = theta * (mean * steps / theta + half).floor().clamp(0, steps) / steps
    return [clipped - mean.relu(), even - clipped, theta * count / steps - even]


WRONG_SPLITS = {
    "signs": lambda z, t: [-p for p in parts(z, t)],
    "needs the half": lambda z, t: parts(z, t, half=0),
    "starts at 0": lambda z, t: parts(z, t, start=0),
    "order is": lambda z, t: parts(z, t)[::-1],
    "units of θ": lambda z, t: [p / t for p in parts(z, t)],
    "still contains the clipping": lambda z, t: [
        parts(z, t)[0], parts(z, t)[0] + parts(z, t)[1], parts(z, t)[2]
    ],
    "return 3 values": lambda z, t: sum(parts(z, t)),
    "value 3 of 3": lambda z, t: [*parts(z, t)[:2], sum(parts(z, t))],
}  # fmt: skip


@pytest.mark.parametrize("said", WRONG_SPLITS)
def test_wrong_split(said):
    refuses("2.4", WRONG_SPLITS[said], said)
