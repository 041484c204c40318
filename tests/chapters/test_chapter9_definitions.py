"""Definitions of chapter 9 give the library's numbers, and what it has stored is sound."""

import json

import pytest
import torch
from reading import definition
from tiny import pictures, tiny

import mstlib
from mstlib.analysis.operations import Totals, trace
from mstlib.masking import Masking
from mstlib.studies.records import FOLDER

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


def test_rows_of_table_3_are_those_of_the_shipped_networks():
    stored = json.loads((FOLDER / "table3.json").read_text())
    known = mstlib.checkpoints.manifest()
    assert {row["network"] for row in stored["rows"]} >= {"mst-digits", "mst-scenes"}
    for row in stored["rows"]:
        if row["weights"] in known:
            assert row["sha256"] == known[row["weights"]]["sha256"]
        assert 0 <= row["accuracy"] <= 1


def test_a_row_of_table_3_comes_out_again():
    stored = json.loads((FOLDER / "table3.json").read_text())
    (row,) = (
        r
        for r in stored["rows"]
        if (r["weights"], r["lesion"]) == ("mst-digits-attention-75", None)
    )
    x, _ = mstlib.data.load("digits", split="test", n=8)
    masking = Masking(attention=0.75)
    again = trace(mstlib.convert(mstlib.load(row["weights"])), x, stored["steps"], masking).totals()
    was = Totals(**row["totals"])
    assert (again.neurons, again.dense, again.macs) == (was.neurons, was.dense, was.macs)
    for what in ("emitted", "delivered", "synaptic"):  # eight images of 150
        assert getattr(again, what) == pytest.approx(getattr(was, what), rel=0.1)
