"""Definitions of chapter 9 give the library's numbers."""

import pytest
import torch
from reading import definition
from tiny import pictures, tiny

import mstlib
from mstlib.analysis.operations import trace

CHAPTER = "09_energy.ipynb"


@pytest.fixture(scope="module")
def traced():
    """A trace of a small network, and every spike of its first block."""
    snn, x = mstlib.convert(tiny()), pictures()
    names = [f"layers.0.blocks.0.{name}" for name in ("shortcut1_if", "attn.q_if", "attn.k_if")]
    result = trace(snn, x, 12, record=names)
    return result, [result.run.spikes[name].double() for name in names]


@pytest.mark.parametrize("reading", ["step", "run"])
def test_power_of_chapter_9(traced, reading):
    power, (result, _) = definition(CHAPTER, "power"), traced
    emitted = sum(result.run.spike_counts.values())
    assert power(emitted, 12, 4, 0.5, reading) == pytest.approx(result.power(0.5, reading=reading))


def test_operations_behind_weights_of_chapter_9(traced):
    plain, (result, (x, _, _)) = definition(CHAPTER, "operations_behind_weights"), traced
    (layer,) = (c for c in result.layers if c.name == "layers.0.blocks.0.attn.qkv")
    assert plain(x, torch.full((x.shape[-1],), 36)) == layer.synaptic > 0


def test_pairs_that_meet_of_chapter_9(traced):
    plain, (result, (_, q, k)) = definition(CHAPTER, "pairs_that_meet"), traced
    (layer,) = (c for c in result.layers if c.name == "layers.0.blocks.0.attn.scores")
    windows = (12 * 4, 4, 3, 4, 4)  # 4 windows of 4 tokens, 3 heads of width 4
    assert plain(q.view(windows), k.view(windows)) == layer.synaptic > 0
