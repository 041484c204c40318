"""One time step in ONNX Runtime: every spike the same in float64, nearly every one in float32."""

import json
import re

import onnx
import pytest
import torch
from tiny import pictures, tiny
from torch import nn
from unfit import UNFIT

import mstlib
from mstlib import Masking, data
from mstlib.checkpoints import data_set
from mstlib.checkpoints.hub import read_config
from mstlib.cli import main
from mstlib.interop.exchange import ExchangeError, Outcome, check_plain, compare, units
from mstlib.interop.onnx import export_onnx, run_onnx
from mstlib.qcfs import QCFS

STEPS = 32
NETWORKS = ("mst-digits", "mst-scenes", "resnet-digits", "mst-events")


def shown(name, images=6):
    return data.load(data_set(name), "test")[0][:images]


@pytest.mark.parametrize("name", NETWORKS)
def test_in_float64_every_spike_is_the_same(name, tmp_path):
    images = shown(name, 3)
    snn = mstlib.convert(mstlib.load(name).double())
    theirs = run_onnx(export_onnx(snn, tmp_path / "step.onnx"), images, STEPS)
    ours = mstlib.simulate(snn, images, STEPS)
    assert theirs.spike_counts == ours.spike_counts
    torch.testing.assert_close(theirs.logits, ours.logits, rtol=0, atol=1e-10)
    assert sum(ours.spike_counts.values()) > 10_000


@pytest.mark.parametrize("name", NETWORKS)
def test_in_float32_predictions_are_the_same_and_spikes_nearly(name, tmp_path):
    images = shown(name, 10)
    snn = mstlib.convert(mstlib.load(name))
    theirs = run_onnx(export_onnx(snn, tmp_path / "step.onnx"), images, STEPS)
    found = compare(mstlib.simulate(snn, images, STEPS), theirs)
    assert theirs.logits.dtype == torch.float32
    assert found.same_predictions == found.images == 10
    assert found.total <= 0.001
    assert found.layer <= 0.02  # as much as one of the images that part can make


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
def test_every_kind_of_transformer(changes, tmp_path):
    snn = mstlib.convert(tiny(**changes).double())
    images = pictures(channels=snn.input_shape[0])
    theirs = run_onnx(export_onnx(snn, tmp_path / "step.onnx"), images, STEPS)
    assert compare(mstlib.simulate(snn, images, STEPS), theirs).exact


def test_the_frames_of_a_film_are_shown_in_their_order(tmp_path):
    snn = mstlib.convert(tiny().double())
    films = pictures(6).view(2, 3, 3, 16, 16)
    path = export_onnx(snn, tmp_path / "step.onnx")
    assert compare(mstlib.simulate(snn, films, 12), run_onnx(path, films, 12)).exact
    with pytest.raises(ValueError, match=r"a multiple of the film's 3 frames.*got 10"):
        run_onnx(path, films, 10)


class Oddities(nn.Module):
    """Convolutions and poolings with every kind of number that the networks above lack."""

    input_shape = (2, 11, 9)

    def __init__(self, **changes):
        super().__init__()
        options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "bias": False}
        self.conv = nn.Conv2d(2, 4, (3, 2), **(options | changes))
        self.act, self.pool = QCFS(4, 0.7), nn.AvgPool2d(2, 1, 1)
        self.mean = nn.AvgPool2d((2, 3), (1, 2), (1, 1), count_include_pad=False)
        self.again, self.end = QCFS(4, 0.3), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.again(self.mean(self.pool(self.act(self.conv(x)))))
        return self.head(self.end(x).flatten(1))


def odd(**changes):
    torch.manual_seed(0)
    return Oddities(**changes).double()


def test_convolutions_and_poolings_in_float64(tmp_path):
    net = odd()
    images = torch.randn(3, 2, 11, 9, dtype=torch.float64)
    snn = mstlib.convert(net)
    ours = mstlib.simulate(snn, images, STEPS)
    assert min(ours.spike_counts.values()) > 100
    assert compare(ours, run_onnx(export_onnx(snn, tmp_path / "odd.onnx"), images, STEPS)).exact


def test_the_file_explains_itself(tmp_path):
    snn = mstlib.convert(tiny())
    model = onnx.load(export_onnx(snn, tmp_path / "step.onnx"))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["input_shape"]) == [3, 16, 16]
    assert about["start"] == "threshold / 2 in every neuron of the layer"
    assert "mean of the logits" in about["answer"]
    assert "without masks" in about["what"]
    layers = {layer["name"]: layer for layer in json.loads(about["layers"])}
    assert list(layers) == list(snn.neurons)
    assert {n: layer["neurons"] for n, layer in layers.items()} == units(snn)
    for name, neuron in snn.neurons.items():
        assert layers[name]["threshold"] == float(neuron.threshold)
    assert [i.name for i in model.graph.input] == ["image", *(f"v.{name}" for name in layers)]
    outputs = ["logits", "spikes", *(f"next.v.{name}" for name in layers)]
    assert [o.name for o in model.graph.output] == outputs
    assert {i.type.tensor_type.shape.dim[0].dim_param for i in model.graph.input} == {"images"}


def test_the_network_is_left_as_it_was(tmp_path):
    snn = mstlib.convert(tiny())
    before = mstlib.simulate(snn, pictures(), 8)
    export_onnx(snn, tmp_path / "step.onnx")
    assert torch.equal(mstlib.simulate(snn, pictures(), 8).logits, before.logits)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        *UNFIT,
        (lambda: mstlib.convert(odd(groups=2)), "conv: in float64 only a convolution without gro"),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_written(network, message, tmp_path):
    with pytest.raises(ExchangeError, match=message):
        export_onnx(network(), tmp_path / "step.onnx")
    assert not list(tmp_path.iterdir())


def test_only_converted_networks_go_out():
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        check_plain(tiny())


def test_what_cannot_be_run_is_named(tmp_path):
    with pytest.raises(ExchangeError, match="no file"):
        run_onnx(tmp_path / "none.onnx", pictures(), 4)
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"noise")
    with pytest.raises(ExchangeError, match=r"ONNX Runtime cannot read .*noise\.onnx"):
        run_onnx(noise, pictures(), 4)
    path = export_onnx(mstlib.convert(tiny()), tmp_path / "step.onnx")
    with pytest.raises(ValueError, match="steps must be a whole number >= 1, not 0"):
        run_onnx(path, pictures(), 0)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\)"):
        run_onnx(path, pictures(side=8), 4)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(ExchangeError, match="not written by export_onnx"):
        run_onnx(path, pictures(), 4)


def test_comparisons_count_what_differs():
    run = mstlib.simulate(mstlib.convert(tiny()), pictures(), 4)
    counts = run.spike_counts
    name = max(counts, key=counts.get)
    logits = run.logits.clone()
    logits[:, 0] = -logits[:, 0]
    found = compare(run, Outcome(logits, counts | {name: counts[name] + 2}))
    assert (found.images, found.same_predictions, found.exact) == (4, 3, False)
    assert found.layer == 2 / counts[name]
    assert found.total == 2 / sum(counts.values())
    assert found.mean_logits == pytest.approx(2 * float(run.logits[:, 0].mean(0).abs().max()))
    with pytest.raises(ValueError, match=r"ours has .*\(4, 4, 10\), theirs \(3, 4, 10\)"):
        compare(run, Outcome(logits[:3], counts))
    with pytest.raises(ValueError, match=r"not the same layers: .*'other'"):
        compare(run, Outcome(logits, counts | {"other": 1}))


def test_command_line_writes_a_file(tmp_path, capsys):
    path = tmp_path / "step.onnx"
    assert main(["export", "mst-digits", "--double", "--onnx", str(path)]) == 0
    assert f"{path}  {path.stat().st_size:,} bytes" in capsys.readouterr().out
    images = shown("mst-digits", 2)
    ours = mstlib.simulate(mstlib.convert(mstlib.load("mst-digits").double()), images, 4)
    theirs = run_onnx(path, images, 4)
    assert theirs.logits.dtype == torch.float64
    assert compare(ours, theirs).exact


def test_command_line_writes_a_folder_for_the_hub(tmp_path):
    assert main(["export", "mst-digits-mlp-75", "--hub", str(tmp_path / "a")]) == 0
    about = read_config(tmp_path / "a")["about"]
    assert (about["data"], about["license"], about["seed"]) == ("digits", "apache-2.0", 0)
    assert about["recipe"]["teacher"] == "mst-digits"
    assert mstlib.open_model(tmp_path / "a").trained_masking == Masking(mlp=0.75)
    assert main(["export", str(tmp_path / "a"), "--hub", str(tmp_path / "b")]) == 0
    for file in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mst-digits mst-scenes --onnx FILE", "--onnx takes the name of one network"),
        ("--onnx FILE", r"--onnx takes the name of one network, not \[\]"),
        ("mst-digits-mlp-75 --onnx FILE", "trained with Masking"),
        ("mst-digit --hub FILE", "no model 'mst-digit'"),
        ("mst-digits --onnx FILE/deeper", "must be a file in a folder that exists"),
        ("mst-digits --onnx FILE --folder FILE", "--folder goes with --web"),
        ("mst-digits --hub FILE --double", "--double goes not with --hub"),
        ("mst-digits --web --folder FILE --double", "--double goes not with --web"),
    ],
)
def test_command_line_says_what_was_wrong(words, message, tmp_path, capsys):
    file = tmp_path / "new"
    assert main(["export", *words.replace("FILE", str(file)).split()]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not file.exists()
