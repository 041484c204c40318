"""Convolutional networks: rewritten for spikes they compute what they did, and convert exactly."""

import copy
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from small_convnets import SHAPE, SMALL, fitted, pictures
from timm.models.densenet import DenseNet
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.vgg import VGG
from torch import nn

import mstlib
from mstlib import CheckpointError, Masking, data
from mstlib.checkpoints import load_shipped, save_shipped
from mstlib.masking import RandomSpikeMask, set_masking
from mstlib.models.convnets import NETWORKS, ConvConfig, convnet
from mstlib.models.layers import Sum
from mstlib.models.tracing import SpikingPool, TraceError, spiking
from mstlib.neurons import IFNeuron
from mstlib.qcfs import QCFS
from mstlib.train import Distillation, Recipe, accuracy, calibrate, distil, train

# Networks that this package has no code for.
OTHERS = {
    "torchvision resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "mobilenetv1": lambda: timm.create_model("mobilenetv1_100", num_classes=10),
    "regnet": lambda: RegNet(
        RegNetCfg(w0=8, wa=8.0, wm=2.0, group_size=4, depth=6, stem_width=8), num_classes=10
    ),
    "densenet": lambda: DenseNet(4, (2, 2), num_classes=10),
}


@pytest.fixture(scope="module", params=SMALL)
def small(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fitted(convnet(replace(SMALL[request.param], levels=None)))


def count(net, kind):
    return sum(isinstance(m, kind) for m in net.modules())


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", [*NETWORKS, "torchvision resnet18"])
def test_rewriting_changes_only_the_pooling(name, training):
    torch.manual_seed(0)
    net = NETWORKS[name](SMALL[name]) if name in NETWORKS else OTHERS[name]()
    net.train(training)
    before = copy.deepcopy(net.state_dict())
    ready = spiking(net, SHAPE)
    for key, value in net.state_dict().items():  # the original is left as it is
        assert torch.equal(value, before[key])
    for parent in list(net.modules()):
        for key, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                shape = child.kernel_size, child.stride, child.padding
                setattr(parent, key, nn.AvgPool2d(*shape, count_include_pad=False))
    x = pictures()
    torch.testing.assert_close(ready(x), net(x), rtol=1e-5, atol=1e-6)
    assert ready.training == training


def test_a_relu_that_is_called_twice_becomes_two_layers_of_neurons():
    net = torchvision.models.resnet18(num_classes=10)
    assert count(net, nn.ReLU) == 9  # one in the stem, one in each of eight blocks
    ready = spiking(net, SHAPE)
    assert count(ready, QCFS) == 1 + 1 + 2 * 8  # and one after the pooling
    nodes = [n for n in ready.graph.graph.nodes if n.op == "call_module"]
    called = [n.target for n in nodes if isinstance(ready.graph.get_submodule(n.target), QCFS)]
    assert len(called) == len(set(called)) == 17


def test_the_published_sizes():
    """As timm builds them, and with the head that gives the size in the paper's Table 1."""

    def size(config):
        with torch.device("meta"):
            return sum(p.numel() for p in NETWORKS[config.network](config).parameters())

    large = {"image_size": 224, "classes": 1000}
    assert size(ConvConfig("resnet18", **large)) == 11_689_512
    assert size(ConvConfig("vgg16", **large)) == 138_365_992
    assert size(ConvConfig("vgg16", image_size=64)) == pytest.approx(39.9e6, rel=2e-3)


@pytest.mark.parametrize("config", [ConvConfig("resnet18"), ConvConfig("vgg16", hidden=64)])
def test_full_widths_convert_and_run(config):
    torch.manual_seed(0)
    net = convnet(replace(config, levels=None)).eval()
    calibrate(net, pictures(2), levels=4)
    run = mstlib.simulate(mstlib.convert(net), pictures(1), 2, Masking(conv=0.5))
    assert run.logits.shape == (2, 1, 10)
    assert set(run.delivered) == {n for n, m in net.named_modules() if type(m) is RandomSpikeMask}


def test_folding_leaves_no_norm_and_changes_no_spike(small):
    whole, folded = mstlib.convert(small, fold=False), mstlib.convert(small)
    norms = count(whole.net, nn.BatchNorm2d)
    assert norms == len(small.folds) == (22 if small.config.network == "resnet18" else 13)
    assert count(folded.net, nn.BatchNorm2d) == 0
    runs = [mstlib.simulate(snn, pictures().double(), 12) for snn in (whole, folded)]
    torch.testing.assert_close(runs[0].logits, runs[1].logits, rtol=0, atol=1e-9)
    assert runs[0].spike_counts == runs[1].spike_counts
    assert min(runs[0].spike_counts.values()) > 0


def test_with_time_the_spiking_network_comes_to_the_ann(small):
    x = pictures(8).double()
    with torch.no_grad():
        wanted = small(x)
    logits = mstlib.simulate(mstlib.convert(small), x, 128).logits
    errors = [float((logits[:t].mean(0) - wanted).abs().mean() / wanted.std()) for t in (2, 128)]
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.25


def test_every_convolution_but_the_first_reads_spikes_through_a_mask(small):
    snn = mstlib.convert(small)
    convs = [n for n, m in snn.net.named_modules() if isinstance(m, nn.Conv2d)]
    edges = mstlib.audit(snn)
    real = [e.layer for e in edges if e.layer in convs and e.kind == "real"]
    assert len(real) == 1
    assert set(snn.masks) == {f"{n}_mask" for n in convs if n not in real}
    sites = [m.site for m in snn.masks.values()]
    assert sorted(sites) == list(range(len(sites)))
    assert all(m.kind == "conv" for m in snn.masks.values())


def test_the_audit_sees_both_operands_of_each_residual_sum():
    net = fitted(convnet(replace(SMALL["resnet18"], levels=None)))
    edges = mstlib.audit(mstlib.convert(net))
    sums = [e for e in edges if e.layer.endswith("sum")]
    assert len(sums) == 2 * count(net, Sum) == 16
    shortcuts = [e.kind for e in sums if e.operand == 1]
    # A shortcut is spikes, or, in the first block of stages 2 to 4, a convolution of spikes.
    assert shortcuts.count("real") == 3


def test_blocks_begin_after_each_sum_and_each_pooling(small):
    blocks = {m.block for m in small.modules() if isinstance(m, RandomSpikeMask)}
    assert blocks == set(range(9 if small.config.network == "resnet18" else 6))
    run = mstlib.simulate(
        mstlib.convert(small), pictures().double(), 4, Masking(conv=0.5, blocks=(0, 1))
    )
    masked = {n for n, m in small.named_modules() if getattr(m, "block", 9) in (0, 1)}
    assert set(run.delivered) == masked
    with pytest.raises(ValueError, match="no block"):
        set_masking(small, Masking(conv=0.5, blocks=(9,)))


def test_a_mask_stops_the_convolution_and_not_the_shortcut():
    net = fitted(convnet(replace(SMALL["resnet18"], levels=None)))
    assert set(net.readers["graph.layer1.0.act2"]) == {
        "graph.layer1.1.conv1_mask",
        "graph.layer1.1.sum",
    }
    seen = []
    residual = net.get_submodule("graph.layer1.1.sum")
    residual.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    x = pictures().double()
    with torch.no_grad():
        net(x)
        set_masking(net, Masking(conv=0.75, blocks=(2,)))
        net(x)
    set_masking(net, None)
    assert torch.equal(*seen)


@pytest.mark.parametrize("name", OTHERS)
def test_networks_without_code_of_their_own_convert(name):
    torch.manual_seed(0)
    net = fitted(spiking(OTHERS[name](), SHAPE))
    snn, x = mstlib.convert(net), pictures(2).double()
    assert count(snn.net, IFNeuron) == count(net, QCFS)
    assert count(snn.net, RandomSpikeMask) > 3
    run = mstlib.simulate(snn, x, 64)
    with torch.no_grad():
        wanted = net(x)
    assert float((run.logits.mean(0) - wanted).abs().mean() / wanted.std()) < 0.5
    masked = mstlib.simulate(snn, x, 4, Masking(conv=0.5))
    assert min(masked.delivered.values()) >= 0
    assert len(masked.delivered) == len(snn.masks)


def test_what_cannot_be_traced_or_converted_is_named():
    plain = VGG([4, "M"], num_classes=10, mlp_ratio=1 / 4096, norm_layer=nn.BatchNorm2d)
    with pytest.raises(TraceError, match="VGG has no one graph"):
        spiking(plain, SHAPE)
    net = spiking(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.ReLU()), SHAPE, levels=4)
    with pytest.raises(mstlib.ConversionError, match=r"graph\.1 \(GELU\)"):
        mstlib.convert(net)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "alexnet"}, "network must be one of .*'vgg16'.*, not 'alexnet'"),
        ({"width": 5}, "width must be an even number >= 2, not 5"),
        ({"hidden": 0}, "hidden must be an even number >= 2, not 0"),
        ({"image_size": 40}, "image_size must be a multiple of 32, at most 4096, not 40"),
        ({"image_size": 0}, "at most 4096, not 0"),
        ({"image_size": 4128}, "at most 4096, not 4128"),
        ({"image_size": "224"}, "at most 4096, not '224'"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL["vgg16"], **change)


def test_pooling_of_spikes_gives_spikes():
    pool = SpikingPool(nn.MaxPool2d(3, 2, 1), levels=4)
    x = torch.ones(1, 1, 4, 4)
    assert torch.equal(pool(x), torch.ones(1, 1, 2, 2))  # the border counts for nothing


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("resnet-digits", 0.97), ("vgg-digits", 0.98)])
def test_the_shipped_networks_reach_their_targets(name, target):
    ann = mstlib.load(name)
    images, labels = data.load("digits", "test")
    assert accuracy(ann, images, labels) >= target
    assert sum(p.numel() for p in ann.parameters()) < 250_000
    run = mstlib.simulate(mstlib.convert(ann), images[:100], 32)
    assert run.accuracy(labels[:100])[-1] >= target - 0.03


def test_a_convolutional_network_trains_ships_and_teaches(tmp_path, monkeypatch):
    recipe = Recipe(
        "digits",
        {"network": "resnet18", "in_channels": 1, "width": 4, "deep_stem": True},
        relu_epochs=1,
        qcfs_epochs=1,
        images=24,
        batch_size=8,
    )
    model = train(recipe, seed=2)
    assert model.config.levels == recipe.levels
    save_shipped("small-digits", model, {"seed": 2}, tmp_path)
    again = load_shipped("small-digits", tmp_path)
    x = pictures(shape=(1, 32, 32))
    with torch.no_grad():
        assert torch.equal(model(x), again(x))
    assert again.config == model.config

    monkeypatch.setitem(mstlib.train.RECIPES, "small-digits", recipe)
    how = Distillation("small-digits", Masking(conv=0.5), epochs=1)
    student = distil(again, how, seed=0)
    assert student.trained_masking == Masking(conv=0.5)
    assert any(
        not torch.equal(a, b) for a, b in zip(student.parameters(), again.parameters(), strict=True)
    )
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"width": 4', '"width": 6'))
    with pytest.raises(
        CheckpointError, match=r"small-digits\.safetensors does not fit its network"
    ):
        load_shipped("small-digits", tmp_path)
