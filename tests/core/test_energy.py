"""Eq. 10 on counted spikes."""

import pytest
import torch
from runs import made_run
from tiny import pictures, tiny

import mstlib
from mstlib.energy import power, spikes_by_module


def test_power_is_spikes_of_one_image_in_one_step_over_a_millisecond():
    run = made_run()  # 12 spikes of 2 images in 3 steps
    assert power(run) == pytest.approx(12 / 6 / 1e-3)
    assert run.power() == power(run)
    assert run.power(alpha=0.9e-12) == pytest.approx(2000 * 0.9e-12)


def test_power_does_not_grow_with_time_or_images():
    snn = mstlib.convert(tiny())
    x = pictures(4)
    once, again = (mstlib.simulate(snn, images, 16) for images in (x, torch.cat([x, x])))
    assert once.power() == pytest.approx(again.power())
    longer = mstlib.simulate(snn, x, 64)
    assert longer.power() == pytest.approx(once.power(), rel=0.2)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_a_spike_costs_something(alpha):
    with pytest.raises(ValueError, match=f"alpha must be a positive energy in joules, not {alpha}"):
        made_run().power(alpha)


def test_every_spike_belongs_to_one_module():
    run = mstlib.simulate(mstlib.convert(tiny()), pictures(), 8)
    modules = spikes_by_module(run)
    assert set(modules) == {"embedding", "attention", "mlp"}
    assert sum(modules.values()) == sum(run.spike_counts.values())
    embedding = ("patch_embed.proj_if", "layers.0.downsample.reduction_if")
    assert modules["embedding"] == sum(run.spike_counts[name] for name in embedding)
    mlp = [n for n in run.spike_counts if ".mlp." in n or n.endswith("shortcut2_if")]
    assert modules["mlp"] == sum(run.spike_counts[name] for name in mlp)


def test_layers_of_other_networks_are_gathered():
    assert spikes_by_module(made_run()) == {"other": 12}
