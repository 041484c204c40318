"""From QCFS to spikes: what conversion changes, what it keeps, and what it refuses."""

import copy
import inspect

import pytest
import torch
from tiny import perceptron, pictures, tiny
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import mstlib
from mstlib import ConversionError
from mstlib.convert import SpikingNetwork
from mstlib.masking import RandomSpikeMask
from mstlib.models.layers import RunningProduct
from mstlib.neurons import IFNeuron
from mstlib.qcfs import QCFS


@pytest.fixture(scope="module", params=["softmax", "pure"])
def ann(request):
    return tiny(attention=request.param).double()


def test_the_network_itself_stays_as_it_is(ann):
    ann.train()
    before = copy.deepcopy(ann.state_dict())
    modules = [type(m) for m in ann.modules()]
    mstlib.simulate(mstlib.convert(ann), pictures(2).double(), 3)
    assert ann.training
    assert [type(m) for m in ann.modules()] == modules
    assert all(p.requires_grad for p in ann.parameters())
    after = ann.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    ann.eval()


def test_every_qcfs_becomes_neurons_of_the_same_name_and_threshold(ann):
    snn = mstlib.convert(ann)
    wanted = {n: float(m.threshold.detach()) for n, m in ann.named_modules() if isinstance(m, QCFS)}
    assert not any(isinstance(m, QCFS) for m in snn.modules())
    assert {n: float(m.threshold) for n, m in snn.neurons.items()} == wanted
    assert len(wanted) == 32
    assert set(snn.neurons.values()) == {m for m in snn.modules() if isinstance(m, IFNeuron)}
    assert snn.input_shape == (3, 16, 16)
    assert not any(p.requires_grad for p in snn.parameters())


@pytest.mark.parametrize("variant", [{}, {"mlp_norm": False}, {"final_norm": "layer"}])
def test_folding_changes_nothing_but_rounding(ann, variant):
    ann = tiny(attention=ann.config.attention, **variant).double()
    x = pictures(4).double()
    folded = mstlib.simulate(mstlib.convert(ann), x, 16)
    unfolded = mstlib.simulate(mstlib.convert(ann, fold=False), x, 16)
    torch.testing.assert_close(folded.logits, unfolded.logits, atol=1e-9, rtol=0)
    assert folded.spike_counts == unfolded.spike_counts


def test_norms_beside_a_linear_layer_are_folded_and_those_that_start_a_block_stay(ann):
    def norms(net):
        return {name for name, m in net.named_modules() if isinstance(m, _BatchNorm)}

    stay = {f"{block}.norm{i}" for block in _blocks() for i in (1, 2)}
    assert norms(mstlib.convert(ann).net) == stay
    assert norms(mstlib.convert(ann, fold=False).net) == norms(ann) > stay


def _blocks():
    return ("layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0")


def test_a_plain_sequence_of_layers_converts():
    net = perceptron(levels=8)
    snn = mstlib.convert(net)
    assert list(snn.neurons) == ["3", "5"]
    assert snn.input_shape is None
    x = pictures(20, channels=1, side=4)
    run = mstlib.simulate(snn, x, 256)
    with torch.no_grad():
        assert float((run.logits.mean(0) - net(x)).abs().mean()) < 0.05


class Unconvertible(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.middle = part
        self.act = QCFS(4)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (nn.LayerNorm(8), r"middle \(LayerNorm\): its statistics change at every step"),
        (nn.GroupNorm(2, 8), r"middle \(GroupNorm\): its statistics change at every step"),
        (nn.GELU(), r"middle \(GELU\): no spiking neuron computes it"),
        (nn.ReLU(), r"middle \(ReLU\): no spiking neuron computes it"),
        (nn.MaxPool2d(2), r"middle \(MaxPool2d\): the maximum of spikes is not"),
        (nn.LSTM(8, 8), r"middle \(LSTM\): not known to keep its meaning.*Conv2d.*Linear"),
        (QCFS(levels=None), "middle: QCFS without levels"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else "",
)
def test_what_cannot_spike_is_refused_by_name(part, reason):
    with pytest.raises(ConversionError, match=reason):
        mstlib.convert(Unconvertible(part))


def test_a_norm_swapped_inside_a_transformer_is_refused_by_its_full_name():
    ann = tiny()
    ann.layers[0].blocks[1].norm2 = nn.LayerNorm(12)
    ann.layers[1].blocks[0].mlp.fc1_if = nn.GELU()
    with pytest.raises(ConversionError) as refusal:
        mstlib.convert(ann)
    assert "layers.0.blocks.1.norm2 (LayerNorm)" in str(refusal.value)
    assert "layers.1.blocks.0.mlp.fc1_if (GELU)" in str(refusal.value)


def test_a_network_without_activations_or_already_spiking_is_refused():
    with pytest.raises(ConversionError, match="nothing in this network would spike"):
        mstlib.convert(nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(ConversionError, match="converted already"):
        mstlib.convert(mstlib.convert(perceptron()))


def test_audit_tells_spikes_from_real_values(ann):
    edges = mstlib.audit(mstlib.convert(ann))
    kinds = {(e.layer, e.operand): e.kind for e in edges}
    block = "layers.0.blocks.0"
    binary = [
        f"{block}.attn.qkv", f"{block}.attn.proj", f"{block}.mlp.fc1", f"{block}.mlp.fc2"
    ]  # fmt: skip
    assert {kinds[layer, 0] for layer in binary} == {"scaled binary"}
    assert kinds[f"{block}.attn.scores", 0] == kinds[f"{block}.attn.scores", 1] == "scaled binary"
    assert kinds[f"{block}.attn.mix", 1] == "scaled binary"
    assert kinds[f"{block}.sum1", 1] == "scaled binary"
    assert kinds["patch_embed.proj", 0] == "real"
    assert kinds[f"{block}.sum2", 0] == "real"
    assert kinds["layers.0.downsample.reduction", 0] == "real"
    assert kinds["head", 0] == "real"
    softmax = [layer for layer, _ in kinds if layer.endswith("softmax")]
    if ann.config.attention == "softmax":
        assert {kinds[layer, 0] for layer in softmax} == {"scaled binary"}  # the bias is within
        assert len(softmax) == 3
        assert kinds[f"{block}.attn.mix", 0] == "real"
    else:
        assert not softmax
        assert kinds[f"{block}.attn.mix", 0] == "scaled binary"
    assert edges.kinds() == {
        kind: list(kinds.values()).count(kind) for kind in ("binary", "scaled binary", "real")
    }


def test_audit_of_unit_thresholds_is_binary_and_prints_as_a_table():
    net = perceptron()
    net[3].threshold.data.fill_(1.0)
    edges = mstlib.audit(mstlib.convert(net), pictures(3, channels=1, side=4), steps=8)
    assert [(e.layer, e.operand, e.kind, e.shape) for e in edges] == [
        ("1", 0, "real", (16,)),
        ("2", 0, "real", (12,)),
        ("4", 0, "binary", (12,)),
        ("6", 0, "scaled binary", (10,)),
    ]
    assert [line.split()[:3] for line in repr(edges).split("\n")][2] == ["4", "0", "binary"]


def test_audit_leaves_no_trace_and_asks_for_images_where_it_must():
    snn = mstlib.convert(tiny())
    mstlib.audit(snn, steps=3)
    assert all(n.v is None and n.counts is None for n in snn.neurons.values())
    assert not any(m._forward_pre_hooks for m in snn.modules())
    with pytest.raises(ValueError, match="does not say what images it takes"):
        mstlib.audit(mstlib.convert(perceptron()))


@pytest.mark.parametrize("name", ["begin", "expect", "keep", "reset"])
def test_a_name_means_one_thing_wherever_it_stands(name):
    parts = (IFNeuron, RandomSpikeMask, RunningProduct, SpikingNetwork)
    meanings = {
        str(inspect.signature(getattr(part, name))) for part in parts if hasattr(part, name)
    }
    assert len(meanings) == 1
