"""Chapter 1's checkers: they accept the hidden solutions and name the usual mistakes."""

import pytest
import torch
from reading import answer_names, solution

from mstlib.exercises import check, find

NOTEBOOK = "01_spiking_neurons.ipynb"
NUMBERS = ["1.1", "1.2", "1.3", "1.4"]


def test_notebook_has_every_exercise():
    assert list(answer_names(NOTEBOOK)) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_hidden_solution_passes(number):
    result = check(number, solution(NOTEBOOK, number, torch=torch))
    assert result.passed
    assert repr(result).startswith(f"✓ {number} ")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("answer", [None, ..., lambda *inputs: None, lambda *inputs: ...])
def test_stub_is_not_attempted(number, answer):
    result = check(number, answer)
    assert not result.passed
    assert repr(result) == f"… {number} not attempted yet"


@pytest.mark.parametrize("number", NUMBERS)
def test_every_answer_is_judged_by_form_too(number):
    right = find(number).right

    def raises(*inputs):
        raise IndexError("off the end")

    def mutates(*inputs):
        answer = right(*inputs)
        inputs[0].add_(1)
        return answer

    def refuses(answer):
        result = check(number, answer)
        assert not result.passed
        assert repr(result).startswith(f"✗ {number} not yet: ")
        return result.message

    assert "raised IndexError: off the end" in refuses(raises)
    assert "in place" in refuses(mutates)
    assert "dtype" in refuses(lambda *inputs: right(*inputs).long())
    assert "shape" in refuses(lambda *inputs: right(*inputs)[None])
    assert "torch tensor, not a list" in refuses(lambda *inputs: right(*inputs).tolist())
    assert "function itself" in refuses(3)
    assert "yours gives" in refuses(lambda *inputs: right(*inputs) + 0.5)


WRONG_RATES = {
    "multiply by the threshold": lambda s, threshold: s.mean(0),
    "divide by the number of steps": lambda s, threshold: threshold * s.sum(0),
    "over neurons as well": lambda s, threshold: threshold * s.mean(),
    "spikes.shape[0]": lambda s, threshold: threshold * s.sum(0) / s.shape[-1],
    "time is the first": lambda s, threshold: threshold * s.mean(-1),
    "multiply instead": lambda s, threshold: s.mean(0) / threshold,
}


@pytest.mark.parametrize("said", WRONG_RATES)
def test_wrong_rate(said):
    result = check("1.1", WRONG_RATES[said])
    assert not result.passed
    assert said in result.message


def test_one_step_too_many_in_the_rate():
    result = check("1.1", lambda s, threshold: threshold * s.sum(0) / (len(s) + 1))
    assert not result.passed
    assert "T = 7" in result.message or "a tensor (16, 5)" in result.message


WRONG_COUNTS = {
    "even neighbour": lambda z, theta, T: (z * T / theta).round().clamp(0, T),
    "u ≥ θ": lambda z, theta, T: (z * T / theta - 0.5).ceil().clamp(0, T),
    "forget the half": lambda z, theta, T: (z * T / theta).floor().clamp(0, T),
    "no upper limit": lambda z, theta, T: (z * T / theta + 0.5).floor().clamp(min=0),
    "no lower limit": lambda z, theta, T: (z * T / theta + 0.5).floor().clamp(max=T),
    "not limited": lambda z, theta, T: (z * T / theta + 0.5).floor(),
    "threshold is missing": lambda z, theta, T: (z * T + 0.5).floor().clamp(0, T),
    "one step too few": lambda z, theta, T: (z * (T - 1) / theta + 0.5).floor().clamp(0, T),
    "return the rate": lambda z, theta, T: (z * T / theta + 0.5).floor().clamp(0, T) / T,
}


@pytest.mark.parametrize("said", WRONG_COUNTS)
def test_wrong_count(said):
    result = check("1.2", WRONG_COUNTS[said])
    assert not result.passed
    assert said in result.message


def test_clip_to_one_step_less_is_refused():
    assert not check(
        "1.2", lambda z, theta, T: (z * T / theta + 0.5).floor().clamp(0, T - 1)
    ).passed


def neuron(current, threshold, leak=1.0, start=0.5, reset="soft", strict=False, unit=None):
    """Spikes and lost charge, written without the library."""
    v = current[0] * 0 + start * threshold
    spikes, lost = [], v * 0
    for z in current:
        u = leak * v + z
        s = ((u > threshold) if strict else (u >= threshold)).to(u.dtype)
        v = {"soft": u - (unit or threshold) * s, "zero": u * (1 - s), "none": u}[reset]
        lost = lost + (u - threshold) * s
        spikes.append(s)
    return torch.stack(spikes), lost


WRONG_LOSSES = {
    "only u − θ is lost": lambda z, theta: (
        neuron(z, theta, reset="zero")[1] + theta * neuron(z, theta, reset="zero")[0].sum(0)
    ),
    "subtracts θ (soft reset)": lambda z, theta: neuron(z, theta, reset="soft")[1],
    "starts at 0": lambda z, theta: neuron(z, theta, start=0.0, reset="zero")[1],
    "fires already when u = θ": lambda z, theta: neuron(z, theta, reset="zero", strict=True)[1],
}


@pytest.mark.parametrize("said", WRONG_LOSSES)
def test_wrong_loss(said):
    result = check("1.3", WRONG_LOSSES[said])
    assert not result.passed
    assert said in result.message


WRONG_NEURONS = {
    "resets to zero": lambda z, theta, leak: neuron(z, theta, leak, reset="zero")[0],
    "never resets": lambda z, theta, leak: neuron(z, theta, leak, reset="none")[0],
    "start at θ/2": lambda z, theta, leak: neuron(z, theta, leak, start=0.0)[0],
    "fires already when u = θ": lambda z, theta, leak: neuron(z, theta, leak, strict=True)[0],
    "leak is missing": lambda z, theta, leak: neuron(z, theta)[0],
    "costs the threshold": lambda z, theta, leak: neuron(z, theta, leak, unit=1.0)[0],
    "0 or 1": lambda z, theta, leak: theta * neuron(z, theta, leak)[0],
    "new input leaks too": lambda z, theta, leak: leaky_input(z, theta, leak),
}


def leaky_input(current, threshold, leak):
    v, spikes = current[0] * 0 + threshold / 2, []
    for z in current:
        u = leak * (v + z)
        spikes.append((u >= threshold).to(u.dtype))
        v = u - threshold * spikes[-1]
    return torch.stack(spikes)


@pytest.mark.parametrize("said", WRONG_NEURONS)
def test_wrong_neuron(said):
    result = check("1.4", WRONG_NEURONS[said])
    assert not result.passed
    assert said in result.message


@pytest.mark.parametrize(
    ("number", "said"),
    [("13.1", "chapters 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"), ("1.9", "1.1, 1.2, 1.3, 1.4")],
)
def test_unknown_exercise(number, said):
    with pytest.raises(ValueError, match=said):
        check(number, None)
