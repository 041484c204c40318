"""Networks as files of NIR: with the reset that NIR lacks every spike is ours, with its own not."""

import re

import h5py
import nir
import numpy as np
import pytest
import torch
from tiny import perceptron, pictures, tiny
from torch import nn

import mstlib
from mstlib import Masking, data
from mstlib.checkpoints import data_set
from mstlib.cli import main
from mstlib.interop import nir_run
from mstlib.interop.exchange import ExchangeError, Layer, compare, rebuild
from mstlib.interop.nir import export_nir
from mstlib.interop.nir_run import run_nir
from mstlib.interop.spikingjelly import run_spikingjelly
from mstlib.masking import set_masking
from mstlib.qcfs import QCFS

STEPS = 8
NETWORKS = ("vgg-digits", "resnet-digits")


def shown(name, images=2):
    return data.load(data_set(name), "test")[0][:images]


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    """A shipped network in float64, its file, some images, and our simulation of them."""
    snn = mstlib.convert(mstlib.load(request.param).double())
    path = export_nir(snn, tmp_path_factory.mktemp("nir") / "net.nir")
    images = shown(request.param)
    return snn, path, images, mstlib.simulate(snn, images, STEPS)


def test_with_a_soft_reset_every_spike_is_the_same(exported):
    _, path, images, ours = exported
    theirs = run_nir(path, images, STEPS, "soft")
    assert theirs.spike_counts == ours.spike_counts
    torch.testing.assert_close(theirs.logits, ours.logits, rtol=0, atol=1e-10)
    assert theirs.logits.dtype == torch.float64
    assert sum(ours.spike_counts.values()) > 10_000


def hard(threshold):
    """SpikingJelly's neurons with the hard reset, their potential counted from θ/2."""
    from spikingjelly.activation_based.neuron import IFNode

    half = float(threshold) / 2
    node = IFNode(v_threshold=half, v_reset=-half)
    node.set_reset_value("v", 0.0)
    return Layer(node, threshold)


def test_with_a_hard_reset_every_spike_is_spikingjellys_and_many_of_ours_are_missing(exported):
    snn, path, images, ours = exported
    net, _ = rebuild(snn, hard)
    oracle = run_spikingjelly(net, images, STEPS)
    theirs = run_nir(path, images, STEPS)
    assert theirs.spike_counts == oracle.spike_counts
    torch.testing.assert_close(theirs.logits, oracle.logits, rtol=0, atol=1e-10)
    assert not compare(ours, theirs).exact
    assert sum(theirs.spike_counts.values()) < 0.8 * sum(ours.spike_counts.values())


def test_nirtorch_and_spikingjelly_read_the_file_and_emit_the_same(exported):
    nirtorch = pytest.importorskip("nirtorch", reason="compares with nirtorch: install it")
    from spikingjelly.activation_based.nir_exchange import from_nir

    class Scale(nn.Module):
        def __init__(self, node):
            super().__init__()
            self.scale = torch.from_numpy(node.scale)

        def forward(self, x):
            return x * self.scale

    _, path, images, _ = exported
    known = from_nir._NodeMapper(dt=1.0).map_dict | {nir.Scale: Scale}
    net = nirtorch.nir_to_torch(nir.read(path), known, device="cpu", dtype=torch.float64)
    for module in net.modules():
        if type(module).__name__ == "IFNode":
            module.v = 0.0  # SpikingJelly starts at v_reset
    state, logits = None, []
    for _ in range(STEPS):
        now, state = net(images.double(), state)
        logits.append(now)
    theirs = run_nir(path, images, STEPS)
    torch.testing.assert_close(torch.stack(logits).detach(), theirs.logits, rtol=0, atol=1e-10)


def one_neuron(threshold):
    """A neuron whose current is the one pixel of an image; its output is θ where it fired."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), QCFS(4, threshold), nn.Linear(1, 1))
    for linear in (net[1], net[3]):
        nn.init.ones_(linear.weight)
        nn.init.zeros_(linear.bias)
    net.input_shape = (1, 1, 1)
    return mstlib.convert(net.double())


@pytest.mark.parametrize("threshold", [1.0, 2.0])
def test_one_neuron_fires_as_often_as_arithmetic_says(threshold, tmp_path):
    snn = one_neuron(threshold)
    assert float(snn.neurons["2"].threshold) == threshold
    path = export_nir(snn, tmp_path / "one.nir")
    k = torch.arange(-2, 17)  # currents in sixteenths of θ: all sums are exact, ties are met
    images = (k * threshold / 16).double().view(-1, 1, 1, 1)
    steps = 32

    def spikes(outcome):
        return (outcome.logits.sum(0)[:, 0] / threshold).int().tolist()

    # From 0 to above 8 sixteenths, and then from −8 to above 8, in so many steps of k.
    hard = [
        0 if n <= 0 or 8 // n >= steps else 1 + (steps - 8 // n - 1) // (16 // n + 1) for n in k
    ]
    assert spikes(run_nir(path, images, steps)) == hard
    # 8 + 32·k sixteenths of θ, and θ off at each spike; what is exactly at θ does not fire in NIR.
    soft = [max(0, -((-steps * n + 8) // 16)) for n in k]
    assert spikes(run_nir(path, images, steps, "soft")) == soft
    ours = [max(0, (steps * n + 8) // 16) for n in k]
    assert spikes(mstlib.simulate(snn, images, steps)) == ours


def test_a_current_above_half_the_threshold_halves_the_rate(tmp_path):
    path = export_nir(one_neuron(1.0), tmp_path / "one.nir")
    images = torch.tensor([0.55, 0.75, 0.95]).view(-1, 1, 1, 1)
    hard = run_nir(path, images, 400).logits.mean(0)[:, 0]
    soft = run_nir(path, images, 400, "soft").logits.mean(0)[:, 0]
    torch.testing.assert_close(hard, torch.full((3,), 0.5).double(), rtol=0, atol=3e-3)
    torch.testing.assert_close(soft, images.flatten().double(), rtol=0, atol=3e-3)


def test_in_float32_predictions_are_the_same_and_spikes_nearly(tmp_path):
    snn = mstlib.convert(mstlib.load("resnet-digits"))
    images = shown("resnet-digits", 10)
    path = export_nir(snn, tmp_path / "net.nir")
    theirs = run_nir(path, images, 16, "soft")
    found = compare(mstlib.simulate(snn, images, 16), theirs)
    assert theirs.logits.dtype == torch.float32
    assert found.same_predictions == found.images == 10
    assert found.total <= 0.001


def test_the_file_says_what_nir_can_say(exported):
    snn, path, _, _ = exported
    graph = nir.read(path)
    neurons = {name: node for name, node in graph.nodes.items() if isinstance(node, nir.IF)}
    assert neurons.keys() == snn.neurons.keys()
    for name, node in neurons.items():
        theta = float(snn.neurons[name].threshold)
        assert (node.r == 1).all()
        assert (node.v_threshold == theta / 2).all()
        assert (node.v_reset == -theta / 2).all()
        assert (graph.nodes[f"{name}.height"].scale == theta).all()
        assert [a for a, b in graph.edges if b == f"{name}.height"] == [name]
        assert [b for a, b in graph.edges if a == name] == [f"{name}.height"]
    assert [list(node.input_type["input"]) for node in graph.inputs.values()] == [[1, 32, 32]]
    assert graph.metadata["start"] == "0 in every neuron"
    assert "soft" in graph.metadata["reset"]
    assert "mean of the output" in graph.metadata["answer"]
    arrays = [v for node in graph.nodes.values() for v in vars(node).values()]
    kinds = {a.dtype for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
    assert kinds == {np.dtype("f8")}
    assert [p.name for p in path.parent.iterdir()] == ["net.nir"]


def test_a_residual_sum_is_two_edges_into_one_node(tmp_path):
    path = export_nir(mstlib.convert(mstlib.load("resnet-digits")), tmp_path / "net.nir")
    edges = nir.read(path).edges
    into = sorted(a for a, b in edges if b == "graph.layer1.0.act2")
    assert into == ["graph.layer1.0.conv2", "graph.maxpool.act.height"]
    assert ("graph.maxpool.mean", "graph.maxpool.mean.border") in edges


def test_the_network_is_left_as_it_was(tmp_path):
    snn = odd()
    images = torch.randn(2, 2, 11, 9, dtype=torch.float64)
    before = mstlib.simulate(snn, images, 4)
    export_nir(snn, tmp_path / "net.nir")
    assert all(neuron.v is None for neuron in snn.neurons.values())
    assert torch.equal(mstlib.simulate(snn, images, 4).logits, before.logits)


class Oddities(nn.Module):
    """Layers with every kind of number that the networks above lack, and with sums of its own."""

    input_shape = (2, 11, 9)

    def __init__(self, **changes):
        super().__init__()
        options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "bias": False}
        self.conv = nn.Conv2d(2, 4, 3, **(options | changes))
        self.norm, self.act = nn.BatchNorm2d(4), QCFS(4, 0.7)
        self.pool = nn.AvgPool2d(2, 1, 1)
        self.mean = nn.AvgPool2d((2, 3), (1, 2), (1, 1), count_include_pad=False)
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.again, self.end = QCFS(4, 0.3), nn.AdaptiveAvgPool2d(1)
        self.hidden, self.last = nn.Linear(4, 5, bias=False), QCFS(8, 0.05)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.mean(self.pool(self.act(self.norm(self.conv(x)))))
        x = self.again(self.same(x) + x)
        return self.head(self.last(self.hidden(self.end(x).flatten(1))))


def odd(net=None, **changes):
    torch.manual_seed(0)
    net = net or Oddities(**changes)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 2.0)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
    return mstlib.convert(net.eval().double())


def test_layers_of_every_kind(tmp_path):
    snn = odd()
    images = torch.randn(3, 2, 11, 9, dtype=torch.float64)
    ours = mstlib.simulate(snn, images, STEPS)
    assert min(ours.spike_counts.values()) > 20
    theirs = run_nir(export_nir(snn, tmp_path / "odd.nir"), images, STEPS, "soft")
    assert compare(ours, theirs).exact
    torch.testing.assert_close(theirs.logits, ours.logits, rtol=0, atol=1e-10)


def test_a_perceptron_with_a_norm_that_stays_and_films(tmp_path):
    snn = mstlib.convert(perceptron().double())
    snn.input_shape = (1, 4, 4)
    norm = snn.net[2]
    nn.init.normal_(norm.running_mean, std=0.3)
    nn.init.uniform_(norm.bias, -0.3, 0.3)
    path = export_nir(snn, tmp_path / "net.nir")
    films = pictures(6, channels=1, side=4).view(2, 3, 1, 4, 4)
    assert compare(mstlib.simulate(snn, films, 12), run_nir(path, films, 12, "soft")).exact
    with pytest.raises(ValueError, match=r"a multiple of the film's 3 frames.*got 10"):
        run_nir(path, films, 10)


def test_a_network_whose_norms_are_not_folded(tmp_path):
    snn = mstlib.convert(mstlib.load("resnet-digits").double(), fold=False)
    images = shown("resnet-digits", 2)
    theirs = run_nir(export_nir(snn, tmp_path / "net.nir"), images, 8, "soft")
    assert compare(mstlib.simulate(snn, images, 8), theirs).exact


def masked():
    snn = mstlib.convert(mstlib.load("resnet-digits"))
    set_masking(snn, Masking(conv=0.5))
    return snn


def chain(*layers, shape=(1, 4, 4)):
    """Layers, spikes and a head on whatever comes out of them."""
    net = nn.Sequential(*layers, QCFS(4, 0.5), nn.Flatten(), nn.LazyLinear(3))
    net.input_shape = shape
    net(torch.zeros(2, *shape))
    return odd(net)


class Twice(nn.Module):
    """What a graph of NIR has no two of: a layer called twice, or an edge twice."""

    input_shape = (1, 4, 4)

    def __init__(self, compute, kernel=1):
        super().__init__()
        self.compute = compute
        self.conv, self.act, self.head = nn.Conv2d(1, 1, kernel), QCFS(4, 0.5), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.compute(self, x).flatten(1))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: mstlib.convert(tiny()),
            r"^layers\.0\.blocks\.0\.attn\.scores: NIR has no product of",
        ),
        (masked, "masks are set"),
        (
            lambda: mstlib.convert(mstlib.load("vgg-digits-conv-25")),
            r"trained with Masking\(.*conv=0\.25",
        ),
        (lambda: mstlib.convert(perceptron()), "does not say what images it takes"),
        (lambda: one_neuron(1.0).half(), "float32 or float64, not torch.float16"),
        (lambda: chain(nn.Softmax(-1)), "^0: NIR has no softmax"),
        (
            lambda: chain(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1, groups=2)),
            r"^1: its input has the shape \(2, 4, 4\); .* has \(1, 4, 4\) for a Conv2d",
        ),
        (lambda: chain(nn.Conv2d(1, 2, (1, 3))), r"^0: its output has the shape \(2, 4, 2\)"),
        (lambda: chain(nn.Linear(4, 2)), r"^0: its input has the shape \(1, 4, 4\); .* \(4,\) for"),
        (
            lambda: chain(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")),
            "^0: NIR pads with zeros, not by 'reflect'",
        ),
        (
            lambda: chain(nn.AvgPool2d(3, 2, ceil_mode=True)),
            "^0: NIR's pooling rounds its map down",
        ),
        (lambda: chain(nn.AvgPool2d(2, divisor_override=3)), "^0: .* divides by the size of its"),
        (
            lambda: chain(nn.AdaptiveAvgPool2d(2)),
            "^0: an adaptive pooling must be of the whole map",
        ),
        (lambda: chain(nn.BatchNorm2d(1, affine=False)), "^0: only a BatchNorm with kept"),
        (lambda: chain(nn.Flatten(2)), "^0: only all axes of an image"),
        (
            lambda: odd(Twice(lambda m, x: m.act(m.conv(m.conv(x))))),
            "the name conv: each layer must",
        ),
        (
            lambda: odd(Twice(lambda m, x: m.conv(x) + m.act(x) + x + x)),
            "add_2: NIR adds what comes",
        ),
        (lambda: odd(Twice(lambda m, x: m.act(x) + 1)), "add: .* or to a number"),
        (
            lambda: odd(Twice(lambda m, x: m.act(x) * m.conv(x))),
            "mul: NIR has no node for the opera",
        ),
        (lambda: odd(Twice(lambda m, x: m.act(x) if x.sum() > 0 else x)), "Twice has no one graph"),
        (
            lambda: odd(Twice(lambda m, x: m.act(x) + m.conv(x), 4)),
            "the nir package refuses the gr",
        ),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_written(network, message, tmp_path):
    with pytest.raises(ExchangeError, match=message):
        export_nir(network(), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_a_layer_may_not_have_the_name_of_an_end(tmp_path):
    net = Twice(lambda m, x: m.output(m.conv(x)))
    net.output = net.act
    del net.act
    snn = mstlib.convert(net)
    with pytest.raises(ExchangeError, match=r"name output: .* none can be named input or output"):
        export_nir(snn, tmp_path / "net.nir")


def test_only_converted_networks_go_out_and_only_to_folders_that_exist(tmp_path):
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        export_nir(tiny(), tmp_path / "net.nir")
    for path in (tmp_path, tmp_path / "none" / "net.nir"):
        with pytest.raises(ExchangeError, match="must be a file in a folder that exists"):
            export_nir(one_neuron(1.0), path)


IMAGES = torch.zeros(2, 1, 1, 1)


@pytest.fixture
def one(tmp_path):
    """The file of one neuron, to be spoilt."""
    return export_nir(one_neuron(1.0), tmp_path / "one.nir")


def test_what_cannot_be_run_is_named(one):
    with pytest.raises(ValueError, match="steps must be a whole number >= 1, not 0"):
        run_nir(one, IMAGES, 0)
    with pytest.raises(ValueError, match=r"images must be \(B, 1, 1, 1\)"):
        run_nir(one, IMAGES[0], 4)
    with pytest.raises(ValueError, match="NaN or infinite"):
        run_nir(one, IMAGES / 0, 4)
    with pytest.raises(ValueError, match=r"reset must be one of \('hard', 'soft'\), not 'zero'"):
        run_nir(one, IMAGES, 4, "zero")
    with pytest.raises(ExchangeError, match="no file"):
        run_nir(one.with_name("none.nir"), IMAGES, 4)


def replaced(file, name, value):
    del file[name]
    file[name] = value


def within_itself(file):
    file["node/nodes/2/within"] = file["node/nodes"]


def in_another_file(file):
    del file["node/nodes/1/weight"]
    file.create_dataset("node/nodes/1/weight", (1, 1), "f8", external=[("/etc/hostname", 0, 8)])


def link(file):
    del file["node/nodes/1/weight"]
    file["node/nodes/1/weight"] = h5py.ExternalLink("other.h5", "/weight")


def cycle(file):
    edges = [("2.height", "2"), *((a.decode(), b.decode()) for a, b in file["node/edges"][()])]
    replaced(file, "node/edges", edges)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.clear(), r"one\.nir is not a file of NIR"),
        (lambda file: replaced(file, "node/nodes/2/type", "eval"), "is not a file of NIR"),
        (lambda file: replaced(file, "node/nodes/2/type", "I"), "is not a file of NIR"),
        (lambda file: replaced(file, "node/nodes/1/weight", np.ones((1, 2))), "type mismatch"),
        (within_itself, "within is what another name stands for too"),
        (in_another_file, "weight lies in another file"),
        (link, "weight is a link"),
        (
            lambda file: file["node"].create_dataset("zeros", (2**20, 2**13), "f8", chunks=True),
            "zeros has a shape for more than the file holds",
        ),
        (
            lambda file: replaced(file, "node/nodes/1/weight", np.full((1, 1), np.nan)),
            "weight of 1 holds values that are not finite",
        ),
        (cycle, "has a cycle: .*2.* -> .*2"),
    ],
)
def test_spoilt_files_are_refused(spoil, message, one):
    with h5py.File(one, "a") as file:
        spoil(file)
    with pytest.raises(ExchangeError, match=message):
        run_nir(one, IMAGES, 4)


def test_files_too_large_to_read_are_refused(one, monkeypatch):
    monkeypatch.setattr(nir_run, "LARGEST", 100)
    with pytest.raises(ExchangeError, match="its arrays would take more than 100 bytes"):
        run_nir(one, IMAGES, 4)


def test_files_that_are_not_hdf5_or_cut_short(one):
    content = one.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 10):
        one.write_bytes(content[:length])
        with pytest.raises(ExchangeError, match=r"one\.nir is not a file of NIR"):
            run_nir(one, IMAGES, 4)


def image(*shape):
    return nir.Input(np.array(shape))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nir.Scale(np.ones(3)), "is not a file of NIR"),
        (
            nir.NIRGraph.from_list(image(1, 1, 1), nir.I(np.ones((1, 1, 1)))),
            "i is of the kind I; known here are Input, Output, Affine, .*, IF",
        ),
        (
            nir.NIRGraph(
                {"a": image(1), "b": image(1), "out": nir.Output(np.array([1]))},
                [("a", "out"), ("b", "out")],
            ),
            "one input and one output, not 2 and 1",
        ),
        (
            nir.NIRGraph.from_list(
                image(1, 1, 1),
                nir.Conv2d((1, 1), np.ones((1, 1, 1, 1)), 1, 0, 1, 3, np.ones(1)),
            ),
            "cannot be run: .*groups",
        ),
    ],
)
def test_other_graphs_are_refused(graph, message, tmp_path):
    nir.write(tmp_path / "other.nir", graph)
    with pytest.raises(ExchangeError, match=message):
        run_nir(tmp_path / "other.nir", IMAGES, 4)


def test_a_graph_that_others_wrote(tmp_path):
    half = np.full(1, 0.5, "f4")
    graph = nir.NIRGraph.from_list(
        image(1, 1, 1),
        nir.Flatten(np.array([1, 1, 1]), 0),
        nir.Linear(np.full((1, 1), 2, "f4")),
        nir.IF(half * 4, half * 4),
    )
    nir.write(tmp_path / "other.nir", graph)
    # v' = 2·2·x, above 2: at x = 0.3 every second step; at x = 1 at every step.
    found = run_nir(tmp_path / "other.nir", torch.tensor([0.3, 1.0]).view(2, 1, 1, 1), 4)
    assert found.logits[..., 0].T.tolist() == [[0, 1, 0, 1], [1, 1, 1, 1]]
    assert found.spike_counts == {"if": 6}


def test_command_line_writes_a_file(tmp_path, capsys):
    path = tmp_path / "net.nir"
    assert main(["export", "resnet-digits", "--double", "--nir", str(path)]) == 0
    assert f"{path}  {path.stat().st_size:,} bytes" in capsys.readouterr().out
    images = shown("resnet-digits")
    ours = mstlib.simulate(mstlib.convert(mstlib.load("resnet-digits").double()), images, 4)
    assert compare(ours, run_nir(path, images, 4, "soft")).exact


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "mst-digits --nir FILE",
            r"layers\.0\.blocks\.0\.attn\.scores: NIR has no product of two sig",
        ),
        ("vgg-digits resnet-digits --nir FILE", "--nir takes the name of one network"),
        ("vgg-digits --nir FILE/deeper", "must be a file in a folder that exists"),
    ],
)
def test_command_line_says_what_was_wrong(words, message, tmp_path, capsys):
    file = tmp_path / "new"
    assert main(["export", *words.replace("FILE", str(file)).split()]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not file.exists()
