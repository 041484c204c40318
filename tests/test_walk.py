"""The walk through a network: every layer once, in order, as it is when it runs."""

import pytest
import torch
from tiny import pictures, tiny
from torch import nn

from mstlib import convert, simulate
from mstlib.explorers import ArchitectureExplorer
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.qcfs import QCFS
from mstlib.walk import walk

STEPS = 6


@pytest.fixture(scope="module")
def net() -> MaskedSpikingTransformer:
    return tiny()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pictures(2)


@pytest.fixture(scope="module")
def layers(net, images) -> dict[str, dict]:
    found = walk(net, images, STEPS)
    names = [layer["name"] for layer in found]
    assert len(set(names)) == len(names)
    return {layer["name"]: layer for layer in found}


def test_every_neuron_and_every_weight_is_met_once_in_order(net, layers):
    nodes = [n for n, m in net.named_modules() if isinstance(m, QCFS)]
    assert [n for n, e in layers.items() if e["kind"] == "spike"] == nodes
    weighted = {n for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert weighted < layers.keys()
    first, *_, last = layers
    assert (first, last) == ("patch_embed.proj", "head")


def test_shapes_are_those_of_one_image_and_one_step(layers):
    shapes = {name: entry["shape"] for name, entry in layers.items()}
    assert shapes["patch_embed.proj"] == [12, 4, 4]
    assert shapes["patch_embed.proj_if"] == [16, 12]
    assert shapes["layers.0.blocks.1.attn.q_if"] == [4, 3, 4, 4]  # windows, heads, tokens, d
    assert shapes["layers.0.blocks.1.attn.attn_if"] == [4, 3, 4, 4]
    assert shapes["layers.1.blocks.0.attn.attn_if"] == [3, 4, 4]  # a single window
    assert shapes["layers.0.downsample.reduction"] == [4, 24]
    assert shapes["head"] == [10]


def test_signals_kinds_places_and_words(layers):
    assert {e["signal"] for e in layers.values() if e["kind"] == "spike"} <= {
        "binary",
        "scaled binary",
    }
    for name in ("patch_embed.proj", "layers.0.blocks.0.sum1", "layers.0.blocks.0.attn.softmax"):
        assert layers[name]["signal"] == "real", name
    assert layers["layers.0.downsample.reduction"]["kind"] == "merge"
    assert layers["head"]["kind"] == "head"
    assert layers["layers.0.blocks.1.mlp.fc1"]["block"] == "0.1"
    assert layers["layers.0.downsample.norm"]["stage"] == "0"
    assert "block" not in layers["layers.0.downsample.norm"]
    assert layers["layers.0.blocks.0.attn.scores"]["equation"] == "7"
    assert layers["layers.0.blocks.0.mlp.fc1_if"]["equation"] == "9"
    assert "each channel" not in layers["norm"]["note"]
    assert all(entry["note"] for entry in layers.values())


def test_rates_are_those_of_a_simulation(net, images, layers):
    rates = simulate(convert(net, fold=False), images, STEPS).firing_rates
    assert {n: e["rate"] for n, e in layers.items() if "rate" in e} == rates


def test_the_explorer_takes_it(net, images):
    explorer = ArchitectureExplorer(walk(net, images, STEPS))
    assert "layers.0.blocks.0.attn.attn_if" in explorer.to_html()


def test_a_converted_network_is_walked_as_it_is_and_left_clean(net, images):
    snn = convert(net)
    names = [layer["name"] for layer in walk(snn, images, STEPS)]
    assert "patch_embed.norm" not in names  # folded away
    assert all(not m._forward_hooks for m in snn.modules())
    assert all(neuron.v is None for neuron in snn.neurons.values())


def test_a_network_of_another_family():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(1, 2, 3), QCFS(), nn.AvgPool2d(6), nn.Flatten(), nn.Linear(2, 3)
    )
    found = walk(plain.eval(), torch.randn(2, 1, 8, 8), STEPS)
    assert [e["kind"] for e in found] == ["conv", "spike", "pool", "linear"]
    ArchitectureExplorer(found)


def test_what_cannot_be_converted_is_refused(images):
    with pytest.raises(ValueError, match="GELU"):
        walk(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), nn.GELU()), images)
