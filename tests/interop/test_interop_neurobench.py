"""NeuroBench's metrics: spikes reach it as 0 and 1, its counts are ours less what it leaves out.

NeuroBench is not among the project's dependencies: it asks for tonic, which is under the GPL. Its
metrics do without, so that to run all tests here, install it alone, where this Python finds it.
"""

import importlib
import sys

import pytest
import torch
from tiny import pictures, tiny
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from unfit import UNFIT

import mstlib
from mstlib import data
from mstlib.analysis.operations import trace
from mstlib.checkpoints import data_set
from mstlib.interop.exchange import ExchangeError, Layer, Outcome, compare, rebuild
from mstlib.interop.neurobench import (
    STATIC,
    WORKLOAD,
    BinaryNetwork,
    Neurons,
    measure,
    to_binary,
    to_neurobench,
)
from mstlib.qcfs import QCFS
from mstlib.studies.neurobench import ours, rows

LABELS = torch.tensor([3, 1, 4, 1])


@pytest.fixture
def neurobench():
    """NeuroBench's benchmark, or a skipped test that says what to install."""
    return pytest.importorskip(
        "neurobench.benchmarks",
        reason="compares with NeuroBench, which is not installed: "
        "pip install --no-deps neurobench snntorch",
    )


def watched(net: BinaryNetwork, images: torch.Tensor) -> tuple[Outcome, dict[str, bool]]:
    """What a network made of images, and whether only 0 and 1 arrived at each layer of weights."""
    counts, binary = dict.fromkeys(net.layers, 0), {}
    handles = []
    for name, layer in net.layers.items():

        def count(module, inputs, spikes, name=name):
            assert bool(((spikes == 0) | (spikes == 1)).all())
            counts[name] += int(spikes.sum(dtype=torch.float64))

        handles.append(layer.node.register_forward_hook(count))
    for name, module in net.net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):

            def look(module, inputs, name=name):
                whole = bool(((inputs[0] == 0) | (inputs[0] == 1)).all())
                name = name.removesuffix(".layer")
                binary[name] = binary.get(name, True) and whole

            handles.append(module.register_forward_pre_hook(look))
    logits = net(images).transpose(0, 1)
    for handle in handles:
        handle.remove()
    return Outcome(logits, counts), binary


@pytest.mark.parametrize("name", ["mst-digits", "mst-events", "resnet-digits", "vgg-digits"])
def test_spikes_are_0_and_1_and_each_is_the_same(name):
    images = data.load(data_set(name), "test", 2)[0]
    snn = mstlib.convert(mstlib.load(name).double())
    counted = trace(snn, images, 12)
    net = to_binary(snn, 12)
    theirs, binary = watched(net, images)
    assert theirs.spike_counts == counted.run.spike_counts
    torch.testing.assert_close(theirs.logits, counted.run.logits, rtol=0, atol=1e-12)
    assert sum(theirs.spike_counts.values()) > 10_000
    # Found by running it; our counter finds the same by looking at the spikes.
    weights = [layer for layer in counted.layers if layer.kind in ("linear", "conv")]
    assert binary == {layer.name: layer.arrives == "spikes" for layer in weights}
    assert set(net.straight) == {name for name, whole in binary.items() if whole}
    assert net.unseen == tuple(la.name for la in counted.layers if la.kind == "product")


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "pure"},
        {"final_norm": "layer", "residual": "norm", "mlp_norm": False},
        {"norm": "layer"},
        {"reduction": 3, "in_channels": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_kind_of_transformer(changes):
    snn = mstlib.convert(tiny(**changes).double())
    images = pictures(channels=snn.input_shape[0])
    net = to_binary(snn, 32)
    theirs, binary = watched(net, images)
    assert compare(mstlib.simulate(snn, images, 32), theirs).exact
    # Three blocks of four, and the patches where spikes come to them.
    assert len(net.straight) == 12 + ("reduction" in changes)
    assert set(net.straight) == {name for name, whole in binary.items() if whole}


def test_in_float32_predictions_are_the_same_and_spikes_nearly():
    images = data.load("digits", "test", 10)[0]
    snn = mstlib.convert(mstlib.load("resnet-digits"))
    theirs, _ = watched(to_binary(snn, 32), images)
    found = compare(mstlib.simulate(snn, images, 32), theirs)
    assert theirs.logits.dtype == torch.float32
    assert found.same_predictions == found.images == 10
    assert found.total <= 0.001


class Shared(nn.Module):
    """Spikes that go straight into a layer, through a pooling, with numbers, and into it twice."""

    input_shape = (2, 8, 8)

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.a, self.b, self.c = QCFS(4, 0.5), QCFS(4, 0.7), QCFS(4, 0.3)
        self.mixed, self.e = nn.Conv2d(5, 3, 1), QCFS(4, 0.4)
        self.pool, self.behind = nn.AvgPool2d(2), nn.Conv2d(3, 4, 1)
        self.d, self.flat, self.head = QCFS(4, 0.2), nn.Flatten(), nn.Linear(36, 3)

    def forward(self, x):
        image = x[..., 1:-1, 1:-1]
        x = self.b(self.shared(self.a(self.first(x))))
        x = self.c(self.shared(x))
        x = self.e(self.mixed(torch.cat([x, image], 1)))
        x = self.behind(self.pool(x))
        return self.head(self.flat(self.d(x)))


def test_only_what_is_fed_by_one_layer_of_spikes_takes_its_threshold():
    torch.manual_seed(0)
    snn = mstlib.convert(Shared().double())
    images = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    net = to_binary(snn, 16)
    assert net.straight == ("head",)
    theirs, binary = watched(net, images)
    run = mstlib.simulate(snn, images, 16)
    assert compare(run, theirs).exact
    assert min(run.spike_counts.values()) > 10
    assert [name for name, whole in binary.items() if whole] == ["head"]
    assert list(binary) == ["first", "shared", "mixed", "behind", "head"]


def test_runs_do_not_depend_on_runs_before_and_the_network_stays_as_it_was():
    snn = mstlib.convert(tiny())
    before = mstlib.simulate(snn, pictures(), 8)
    net = to_binary(snn, 8)
    first = net(pictures())
    net(pictures(2, seed=5))
    assert torch.equal(net(pictures()), first)
    assert torch.equal(mstlib.simulate(snn, pictures(), 8).logits, before.logits)
    assert net.net.head.weight is snn.net.head.weight
    old = snn.net.layers[0].blocks[0].attn
    new = net.net.layers[0].blocks[0].attn
    threshold = snn.net.layers[0].blocks[0].shortcut1_if.threshold
    assert torch.equal(new.qkv.layer.weight, old.qkv.weight * threshold)
    assert new.qkv.layer.bias is old.qkv.bias


def test_the_frames_of_a_film_are_shown_in_their_order():
    snn = mstlib.convert(tiny().double())
    films = pictures(6).view(2, 3, 3, 16, 16)
    theirs, _ = watched(to_binary(snn, 12), films)
    assert compare(mstlib.simulate(snn, films, 12), theirs).exact
    with pytest.raises(ValueError, match=r"a multiple of the film's 3 frames.*got 10"):
        to_binary(snn, 10)(films)


@pytest.mark.parametrize("make", [to_binary, to_neurobench])
@pytest.mark.parametrize(("network", "message"), UNFIT)
def test_networks_that_cannot_go_out_are_named(network, message, make):
    with pytest.raises(ExchangeError, match=message):
        make(network(), 4)


def test_only_converted_networks_go_out():
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        to_binary(tiny(), 4)


def test_wrong_steps_and_images_are_named():
    snn = mstlib.convert(tiny())
    for steps in (0, 2.5):
        with pytest.raises(ValueError, match=f"steps must be a whole number >= 1, not {steps}"):
            to_binary(snn, steps)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\)"):
        to_binary(snn, 4)(pictures(side=8))


def test_it_says_what_to_install(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("neurobench.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "neurobench", None)  # as if it were not there
    snn = mstlib.convert(tiny())
    message = "pip install --no-deps neurobench snntorch"
    with pytest.raises(ExchangeError, match=message):
        to_neurobench(snn, 4)
    with pytest.raises(ExchangeError, match=message):
        measure(snn, pictures(), LABELS, 4)


def some(batch_size=3, **changes):
    snn = mstlib.convert(tiny(**changes).double())
    return snn, measure(snn, pictures().double(), LABELS, 8, batch_size)


@pytest.mark.parametrize("changes", [{}, {"attention": "pure"}], ids=["softmax", "pure"])
def test_neurobench_counts_what_we_count_less_what_it_leaves_out(neurobench, changes):
    snn, found = some(**changes)
    assert list(found.metrics) == [*STATIC, *WORKLOAD]
    mine = ours(snn, pictures(), LABELS, 8)
    for row in rows(mine, found.metrics):
        assert row["left"] == pytest.approx(0, abs=1e-9 * max(row["ours"], 1e-3)), row
    assert mine["of them in products of spikes"] > 0
    assert mine["updates that change nothing"] > 0
    assert found.metrics["ActivationSparsityByLayer"] == pytest.approx(mine["silence by layer"])
    assert [name.split(".")[-1] for name in found.unseen] == ["scores", "mix"] * 3
    assert found.straight == to_binary(snn, 8).straight


def test_neurobenchs_numbers_do_not_depend_on_batches(neurobench):
    one, three = some(1)[1].metrics, some(3)[1].metrics
    assert one.pop("SynapticOperations") == three.pop("SynapticOperations")
    layers = one.pop("ActivationSparsityByLayer")
    assert layers == three.pop("ActivationSparsityByLayer")
    assert one == pytest.approx(three)


def test_neurobench_takes_the_network_as_it_is_for_real_numbers(neurobench):
    models = importlib.import_module("neurobench.models")
    workload = importlib.import_module("neurobench.metrics.workload")
    snn = mstlib.convert(tiny().double())
    net, layers = rebuild(snn, lambda theta: Layer(Neurons(theta), theta))
    model = models.TorchModel(nn.Sequential(net))
    model.add_activation_module(Neurons)
    shown = DataLoader(TensorDataset(pictures().double(), LABELS), 4)
    found = neurobench.Benchmark(model, shown, [], [], [[], [workload.SynapticOperations]])
    operations = found.run(quiet=True)["SynapticOperations"]
    assert operations["Effective_ACs"] == 0 < operations["Effective_MACs"]
    assert len(layers) == len(snn.neurons)


def test_models_can_be_benchmarked_with_other_metrics_and_answers(neurobench):
    workload = importlib.import_module("neurobench.metrics.workload")
    snn = mstlib.convert(tiny().double())
    right = mstlib.simulate(snn, pictures(), 8).predictions()
    wrong = (right + torch.tensor([0, 0, 0, 1])) % 10
    model = to_neurobench(snn, 8)
    shown = DataLoader(TensorDataset(pictures(), wrong), 4)
    metrics = [[], [workload.ClassificationAccuracy, workload.MembraneUpdates]]
    answer = [lambda logits: logits.mean(1).argmax(-1)]
    found = neurobench.Benchmark(model, shown, [], answer, metrics).run(quiet=True)
    assert found["ClassificationAccuracy"] == 0.75
    # At most one for each neuron and step, and at the first step just that.
    neurons = sum(len(c) for c in mstlib.simulate(snn, pictures(), 1).neuron_counts.values())
    assert neurons < found["MembraneUpdates"] < 8 * neurons


def test_metrics_that_fail_are_named(neurobench, monkeypatch):
    workload = importlib.import_module("neurobench.metrics.workload")

    def fails(*_):
        raise RuntimeError("no reason")

    monkeypatch.setattr(workload.SynapticOperations, "__call__", fails)
    message = "could not compute its workload metric 'SynapticOperations': no reason"
    with pytest.raises(ExchangeError, match=message):
        some()


def test_wrong_labels_and_batches_are_named(neurobench):
    snn = mstlib.convert(tiny())
    with pytest.raises(ValueError, match=r"labels must be \(4,\), not \(3,\)"):
        measure(snn, pictures(), LABELS[:3], 4)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\)"):
        measure(snn, pictures(side=8), LABELS, 4)
    with pytest.raises(ValueError, match="batch_size must be a whole number >= 1, not 0"):
        measure(snn, pictures(), LABELS, 4, 0)
