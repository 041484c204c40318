"""Integrate-and-fire neurons: their dynamics, and the identity between them and QCFS."""

from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mstlib.neurons import IFNeuron, if_step, integrate_and_fire
from mstlib.qcfs import qcfs

THRESHOLDS = st.floats(0.05, 20)
STEPS = st.integers(1, 64)
TIMES_THRESHOLD = st.floats(-1.5, 3)  # inputs, as multiples of θ


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def exact_counts(currents: list[Fraction], threshold: Fraction) -> list[int]:
    """Spikes of one neuron in exact arithmetic, from θ/2, with soft reset."""
    v, spikes = threshold / 2, []
    for current in currents:
        v += current
        spikes.append(int(v >= threshold))
        v -= threshold * spikes[-1]
    return spikes


def away_from_ties(z: float, threshold: float, steps: int) -> bool:
    """No potential of the constant input z comes within rounding of θ."""
    where = z * steps / threshold + 0.5
    return abs(where - round(where)) > 1e-6


@given(TIMES_THRESHOLD, THRESHOLDS, STEPS)
def test_constant_input_gives_qcfs_with_as_many_levels_as_steps(x, threshold, steps):
    z = x * threshold
    assume(away_from_ties(z, threshold, steps))
    current = torch.full((steps, 1), z, dtype=torch.float64)
    spikes, _ = integrate_and_fire(current, threshold)
    rate = threshold * spikes.mean(0)
    torch.testing.assert_close(rate, qcfs(column(z), threshold, steps), atol=1e-12, rtol=1e-12)


@given(TIMES_THRESHOLD, THRESHOLDS, STEPS, st.integers(1, 64))
def test_the_layer_gives_qcfs_too_however_time_is_cut(x, threshold, steps, chunk):
    z = x * threshold
    assume(away_from_ties(z, threshold, steps))
    neuron = IFNeuron(column(threshold))
    sent = torch.zeros(1, dtype=torch.float64)
    for first in range(0, steps, chunk):
        now = min(chunk, steps - first)
        neuron.expect(now, 1)
        sent += neuron(torch.full((now, 1), z, dtype=torch.float64)).sum(0)
    expected = qcfs(column(z), column(threshold), steps)
    torch.testing.assert_close(sent / steps, expected, atol=1e-12, rtol=1e-12)


@given(st.integers(-40, 100), st.integers(0, 5))
def test_both_sides_decide_ties_alike(half_levels, log_steps):
    """With θ = 1 and powers of two every number is exact, so that ties are real ties."""
    steps = 2**log_steps
    z = column(half_levels / (2 * steps))
    spikes, _ = integrate_and_fire(z.expand(steps, 1), 1.0)
    assert torch.equal(spikes.mean(0), qcfs(z, 1.0, steps))


@given(
    st.lists(st.integers(-300, 300), min_size=1, max_size=40),
    st.integers(1, 200),
    st.sampled_from([1, 2, 64]),
)
def test_changing_input_agrees_with_exact_arithmetic(currents, threshold, denominator):
    exact = [Fraction(c, denominator) for c in currents]
    expected = exact_counts(exact, Fraction(2 * threshold, denominator))
    current = column(*map(float, exact))[:, None]
    theta = 2 * threshold / denominator
    spikes, _ = integrate_and_fire(current, theta)
    assert spikes[:, 0].tolist() == expected

    neuron = IFNeuron(column(theta))
    neuron.expect(len(currents), 1)
    assert (neuron(current)[:, 0] / theta).tolist() == expected
    assert neuron.counts.tolist() == [sum(expected)]
    assert neuron.step_counts == expected

    v, seen = column(theta / 2), []
    for step in current:
        spike, v = if_step(v, step, theta)
        seen.append(int(spike))
    assert seen == expected


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_soft_reset_loses_no_charge(currents):
    current = column(*currents)[:, None] / 16
    spikes, potentials = integrate_and_fire(current, 1.0)
    assert torch.equal(potentials[-1], 0.5 + current.sum(0) - spikes.sum(0))


def test_a_potential_at_the_threshold_fires():
    spikes, v = if_step(column(0.5), column(0.5), 1.0)
    assert spikes.tolist() == [1.0]
    assert v.tolist() == [0.0]


def test_soft_reset_keeps_the_rest_and_zero_reset_forgets_it():
    v, current = column(0.5, 0.25), column(1.25, 0.25)
    soft, kept = if_step(v, current, 1.0)
    zero, forgotten = if_step(v, current, 1.0, reset="zero")
    assert soft.tolist() == zero.tolist() == [1.0, 0.0]
    assert kept.tolist() == [0.75, 0.5]
    assert forgotten.tolist() == [0.0, 0.5]


def test_potentials_start_at_half_the_threshold_unless_told():
    current = column(0.25, 0.25)[:, None]
    assert integrate_and_fire(current, 2.0)[1][:, 0].tolist() == [1.25, 1.5]
    assert integrate_and_fire(current, 2.0, v0=0.0)[1][:, 0].tolist() == [0.25, 0.5]
    _, potentials = integrate_and_fire(column(0.75, 0.75)[:, None], 1.0, v0=0.5, reset="zero")
    assert potentials[:, 0].tolist() == [0.0, 0.75]


def test_the_input_is_left_as_it_was():
    v, current = column(0.5), column(0.75)
    if_step(v, current, 1.0)
    neuron = IFNeuron(column(1.0))
    neuron(current[None])
    neuron(current[None])
    assert (v.item(), current.item()) == (0.5, 0.75)


def test_the_layer_forgets_everything_on_reset():
    neuron = IFNeuron(column(1.0))
    neuron.expect(3, 2)
    current = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = neuron(current)
    counts = neuron.counts.clone()
    assert not torch.equal(
        neuron(current), first
    )  # the potential of the first chunk is still there
    neuron.reset()
    neuron.expect(3, 2)
    assert torch.equal(neuron(current), first)
    assert torch.equal(neuron.counts, counts)


def test_the_layer_counts_by_neuron_and_by_step():
    neuron = IFNeuron(column(1.0))
    neuron.expect(2, 3)  # 2 steps of 3 images, each in 2 windows of 4 neurons
    current = torch.rand(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spikes = (neuron(current) != 0).view(2, 3, 8)
    assert torch.equal(neuron.counts, spikes.sum((0, 1)))
    assert neuron.step_counts == spikes.sum((1, 2)).tolist()
    neuron(current)
    assert len(neuron.step_counts) == 4
    assert int(neuron.counts.sum()) == sum(neuron.step_counts)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_must_be_positive_and_finite(threshold):
    for call in (
        lambda: if_step(column(0.0), column(1.0), threshold),
        lambda: integrate_and_fire(column(1.0)[None], threshold),
        lambda: IFNeuron(column(threshold)),
        lambda: qcfs(column(1.0), threshold, 4),
    ):
        with pytest.raises(ValueError, match=r"threshold θ must be finite and > 0"):
            call()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"reset must be one of .*'soft'.*'zero'.* not 'hard'"):
        if_step(column(0.0), column(1.0), 1.0, reset="hard")
    for nothing in (torch.zeros(0, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="T >= 1"):
            integrate_and_fire(nothing, 1.0)
