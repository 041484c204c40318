"""The activation that counts spikes: its values and its gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mstlib.qcfs import QCFS, qcfs


@given(st.floats(-30, 30), st.floats(0.05, 20), st.integers(1, 64))
def test_it_is_the_formula(x, threshold, levels):
    steps = math.floor(x * (levels / threshold) + 0.5)
    expected = threshold * min(max(steps / levels, 0), 1)
    got = qcfs(torch.tensor(x, dtype=torch.float64), threshold, levels)
    assert float(got) == pytest.approx(expected, rel=1e-14, abs=0)


def test_halves_round_up_and_never_to_even():
    x = torch.tensor([0.125, 0.375, 0.625, 0.875], dtype=torch.float64)
    assert qcfs(x, 1.0, 4).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_gradient_goes_straight_through_between_zero_and_the_threshold():
    x = torch.tensor([-0.5, 0.3, 1.1, 2.5], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    out = qcfs(x, theta, 4)
    assert out.detach().tolist() == [0.0, 0.5, 1.0, 2.0]
    # Below 0 and above θ the clip stops the gradient; in between it is 1.
    (slope,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
    assert slope.tolist() == [0.0, 1.0, 1.0, 0.0]
    # θ's own: (level − x/θ) in between, 1 where the output is θ itself.
    for i, expected in enumerate([0.0, 0.25 - 0.15, 0.5 - 0.55, 1.0]):
        (slope,) = torch.autograd.grad(out[i], theta, retain_graph=True)
        assert float(slope) == pytest.approx(expected, abs=1e-12)


def test_a_spread_moves_the_rounding_in_training_only():
    layer = QCFS(levels=4, threshold=1.0)
    layer.spread = 1.0
    x = torch.full((4000,), 0.3)
    layer.eval()
    assert layer(x).unique().tolist() == [0.25]
    torch.manual_seed(0)
    out = layer.train()(x).detach()
    assert out.unique().tolist() == [0.25, 0.5]
    assert float(out.mean()) == pytest.approx(0.3, abs=0.01)  # right on average
    layer.spread = 0.2  # too narrow to reach the next level from here
    assert layer(x).detach().unique().tolist() == [0.25]


def test_the_layer_is_the_function_and_learns_its_threshold():
    layer = QCFS(levels=8, threshold=1.5)
    x = torch.linspace(-1, 3, 50)
    assert torch.equal(layer(x), qcfs(x, layer.threshold, 8))
    assert [name for name, _ in layer.named_parameters()] == ["threshold"]
    assert repr(layer) == "QCFS(levels=8, threshold=1.5)"


def test_without_levels_it_is_a_relu():
    x = torch.linspace(-3, 30, 50)
    assert torch.equal(QCFS(levels=None)(x), x.relu())


@pytest.mark.parametrize("levels", [0, -3])
def test_there_is_at_least_one_level(levels):
    with pytest.raises(ValueError, match=rf"levels must be a whole number >= 1.* not {levels}"):
        qcfs(torch.ones(1), 1.0, levels)
    with pytest.raises(ValueError, match=rf"levels must be a whole number >= 1.* not {levels}"):
        QCFS(levels)


def test_a_threshold_is_positive():
    with pytest.raises(ValueError, match="θ must be finite and > 0"):
        QCFS(4, threshold=-2.0)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_the_floor_is_taken_in_single_precision(half):
    layer = QCFS(levels=16, threshold=0.7)
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)).to(half)
    out = layer(x)
    assert out.dtype == torch.float32
    assert torch.equal(out, layer(x.float()))
