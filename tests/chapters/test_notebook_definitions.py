"""The plain definitions of the notebooks give the same numbers as the library."""

import pytest
import torch
from reading import definition

from mstlib.neurons import integrate_and_fire
from mstlib.qcfs import qcfs

NEURON = "01_spiking_neurons.ipynb"
QCFS = "02_relu_to_spikes.ipynb"


@pytest.mark.parametrize("threshold", [0.5, 1.0, 1.7])
def test_if_neuron_of_chapter_1(threshold):
    plain = definition(NEURON, "if_neuron", torch=torch)
    draw = torch.Generator().manual_seed(0)
    random = torch.randn(30, 4, 50, generator=draw, dtype=torch.float64)
    ties = (threshold * torch.arange(-8, 33, dtype=torch.float64) / 16).expand(16, -1)
    for current in (random, ties):
        for mine, theirs in zip(
            plain(current, threshold), integrate_and_fire(current, threshold), strict=True
        ):
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs)


def test_strict_count_of_chapter_1_differs_only_at_ties():
    strict = definition(NEURON, "strict_count", torch=torch)
    away = (torch.arange(17) / 16 + 0.01).expand(4, -1)
    assert torch.equal(strict(away, 1.0), integrate_and_fire(away, 1.0)[0].sum(0))
    ties = (torch.arange(17) / 16).expand(4, -1)
    assert (strict(ties, 1.0) != integrate_and_fire(ties, 1.0)[0].sum(0)).sum() == 4


@pytest.mark.parametrize("threshold", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("levels", [1, 4, 16])
def test_clip_floor_shift_of_chapter_2(threshold, levels):
    plain = definition(QCFS, "clip_floor_shift", torch=torch)
    draw = torch.Generator().manual_seed(1)
    x = 4 * torch.rand(2000, generator=draw, dtype=torch.float64) - 1
    assert torch.equal(plain(x, threshold, levels), qcfs(x, threshold, levels))
    steps = integrate_and_fire(x.expand(levels, -1), threshold)[0]
    torch.testing.assert_close(plain(x, threshold, levels), threshold * steps.mean(0))


def test_whole_number_neuron_of_chapter_2_counts_without_error():
    neuron = definition(QCFS, "whole_number_neuron", torch=torch)
    k = torch.arange(101)
    for steps in (1, 10, 25, 64):
        assert torch.equal(neuron(k, steps), (2 * k * steps + 100) // 200)


def test_a_missing_definition_is_an_error():
    with pytest.raises(LookupError, match="does not define nothing_such"):
        definition(NEURON, "nothing_such")
