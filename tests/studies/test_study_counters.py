"""Operations counted a second time, by SpikingJelly: what is stored, and that it is needed."""

import json
from importlib.metadata import PackageNotFoundError

import pytest
from tiny import pictures, tiny

import mstlib
from mstlib.analysis.operations import trace
from mstlib.cli import main
from mstlib.masking import Masking
from mstlib.studies import records
from mstlib.studies.records import FOLDER


def test_the_second_counter_agrees_everywhere():
    report = json.loads((FOLDER / "counters.json").read_text())
    assert len(report["networks"]) >= 2
    for network in report["networks"]:
        assert network["dense"]["ours"] == network["dense"]["theirs"] > 0
        assert network["as it is"] == 0
        assert sum(layer["ours"] > 0 for layer in network["layers"].values()) > 5
        for layer in network["layers"].values():
            assert layer["ours"] == pytest.approx(layer["theirs"], rel=1e-3)


def test_what_the_second_counter_was_given_is_what_is_shipped():
    stored = {
        (network["network"], network["masking"]): network["layers"]
        for network in json.loads((FOLDER / "counters.json").read_text())["networks"]
    }
    x, _ = mstlib.data.load("digits", split="test", n=2)
    masking = Masking(attention=0.75)
    result = trace(mstlib.convert(mstlib.load("mst-digits").double()), x, 4, masking)
    layers = stored["mst-digits", repr(masking)]
    assert {c.name: c.synaptic for c in result.layers if c.dense} == pytest.approx(
        {name: counts["ours"] for name, counts in layers.items()}, rel=1e-6
    )


def test_synaptic_operations_are_those_of_spikingjelly():
    """Runs where SpikingJelly is installed; elsewhere the stored comparison has to do."""
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    snn, x = mstlib.convert(tiny()).double(), pictures(2).double()
    seen = {}

    def again(name):
        def hook(module, inputs, output):
            counter = counters.SynOpCounter()
            with counters.DispatchCounterMode([counter]):
                module.forward((inputs[0] != 0).double())
            seen[name] = seen.get(name, 0) + counter.get_total()

        return hook

    for name, module in snn.net.named_modules():
        if name.endswith(("qkv", "proj", "fc1", "fc2")) and not name.startswith("patch"):
            module.register_forward_hook(again(name))
    result = trace(snn, x, 4)
    assert len(seen) == 12
    for layer in result.layers:
        if layer.name in seen:
            assert layer.synaptic == pytest.approx(seen[layer.name], rel=1e-3)


def test_without_spikingjelly_it_says_how_to_get_it(monkeypatch, capsys):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(records, "version", version)
    before = (FOLDER / "counters.json").read_bytes()
    assert main(["study", "counters"]) == 2
    said = capsys.readouterr().err
    assert said.startswith('mst: spikingjelly is not installed: pip install "mstlib[interop]"')
    assert (FOLDER / "counters.json").read_bytes() == before
