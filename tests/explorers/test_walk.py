"""The walk through a network: every layer once, in order, as it is when it runs."""

import pytest
import torch
from tiny import pictures, tiny
from torch import nn

from mstlib import convert, simulate
from mstlib.explorers import ArchitectureExplorer
from mstlib.explorers.walk import walk
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.qcfs import QCFS

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


def test_masks_are_marked_where_the_network_has_them(net, layers):
    feeds = {
        "attn.q_mask": "attn.q_if",
        "attn.k_mask": "attn.k_if",
        "attn.attn_mask": "attn.attn_if",
        "mlp.in_mask": "shortcut2_if",
        "mlp.hidden_mask": "mlp.fc1_if",
    }
    masked = {}
    for name, mask in convert(net).masks.items():
        end = next(end for end in feeds if name.endswith(end))
        masked[name.removesuffix(end) + feeds[end]] = mask.kind
    assert len(masked) == 5 * 3
    assert {name: e["mask"] for name, e in layers.items() if "mask" in e} == masked


def test_tensors_are_the_spikes_of_the_first_image(net, images, layers):
    spikes = [name for name, entry in layers.items() if entry["kind"] == "spike"]
    run = simulate(convert(net, fold=False), images, STEPS, record=spikes)
    heads = 0
    for name in spikes:
        shape, tensor = layers[name]["shape"], layers[name]["tensor"]
        counts = run.spikes[name][:, 0].long().sum(0).view(shape)
        if "window 1 of 4" in tensor["part"]:
            counts = counts[0]
        if tensor["part"].endswith("3 heads side by side"):
            counts = torch.cat(list(counts), dim=1)  # (heads, N, d) to (N, heads·d)
            assert tensor["groups"] == 3
            heads += 1
        assert tensor["unit"] == "spikes in 6 steps"
        assert torch.equal(torch.tensor(tensor["values"]).long(), counts), name
    assert heads == 5 * 3  # Q, K, V, A and their mix, in three blocks


def test_tensors_of_numbers_are_averages_over_the_steps(net, images, layers):
    means = simulate(convert(net, fold=False), images, STEPS).logits[:, :1].mean(0)
    head = layers["head"]["tensor"]
    assert (head["rows"], head["columns"], head["unit"]) == ("image", "class", "mean of 6 steps")
    assert torch.allclose(torch.tensor(head["values"]).to(means), means, atol=1e-5)
    scores = layers["layers.0.blocks.1.attn.scores"]["tensor"]
    assert (scores["rows"], scores["columns"]) == ("query", "key")
    qkv = layers["layers.0.blocks.0.attn.qkv"]["tensor"]
    assert (qkv["part"], qkv["groups"]) == ("window 1 of 4, Q, K and V side by side", 3)
    first = layers["patch_embed.proj"]["tensor"]["values"]  # 12 channels of 4×4 patches
    expected = net.patch_embed.proj(images[:1])[0].flatten(1).T
    assert torch.allclose(torch.tensor(first), expected.detach(), atol=1e-5)


def test_large_tensors_are_cut_and_say_so(net, images, monkeypatch):
    monkeypatch.setattr("mstlib.explorers.walk._COLUMNS", 10)
    cut = {e["name"]: e["tensor"] for e in walk(net, images, STEPS)}["patch_embed.proj_if"]
    assert cut["part"] == "the first 10 of 12 channels"
    assert {len(row) for row in cut["values"]} == {10}


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
