"""Operations counted with NeuroBench: what is stored is what we count."""

import json
from importlib.metadata import PackageNotFoundError

import pytest
import torch

import mstlib
from mstlib import data
from mstlib.cli import main
from mstlib.convert import SpikingNetwork
from mstlib.interop.neurobench import measure
from mstlib.studies import records
from mstlib.studies.neurobench import IMAGES, STEPS, ours, rows
from mstlib.studies.records import FOLDER

STORED = json.loads((FOLDER / "neurobench.json").read_text(encoding="utf-8"))
NETWORKS = {network["network"]: network for network in STORED["networks"]}


def shipped(name: str) -> tuple[SpikingNetwork, torch.Tensor, torch.Tensor]:
    images, labels = data.load(NETWORKS[name]["data"], split="test", n=IMAGES)
    return mstlib.convert(mstlib.load(name).double()), images, labels


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_stored_is_what_we_count(name):
    assert (STORED["images"], STORED["steps"]) == (IMAGES, STEPS)
    stored = NETWORKS[name]
    mine, numbers = ours(*shipped(name), STEPS), dict(stored["ours"])
    silence = mine.pop("silence by layer")
    assert silence == pytest.approx(numbers.pop("silence by layer"), rel=1e-9)
    assert mine == pytest.approx(numbers, rel=1e-9)
    theirs = stored["theirs"]["ActivationSparsityByLayer"]
    assert theirs == pytest.approx(silence, rel=1e-12)
    again = rows(mine, stored["theirs"])
    assert [row["what"] for row in again] == [row["what"] for row in stored["rows"]]
    for row in again:
        assert row["left"] == pytest.approx(0, abs=1e-9 * max(row["ours"], 1e-3)), row


def test_the_stored_differences_are_what_the_book_says_of_them():
    assert set(STORED["versions"]) == {"neurobench", "snntorch", "torch"}
    assert {"mst-digits", "mst-scenes"} < set(NETWORKS)
    for name, network in NETWORKS.items():
        less = {row["what"]: row["less"] for row in network["rows"]}
        attention = name.startswith("mst")
        assert ("products of spikes, Q·Kᵀ" in less["additions"]) == attention
        assert ("products of attention" in less["dense operations"]) == attention
        assert bool(network["not seen"]) == attention
        same = {what for what, parts in less.items() if not parts}
        assert same == {
            "activation sparsity",
            "accuracy",
            "footprint in bytes",
            "parameters",
            "connection sparsity",
        }


def test_neurobench_says_again_what_was_stored():
    reason = "pip install --no-deps neurobench snntorch"
    neurobench = pytest.importorskip("neurobench", reason=reason)
    assert neurobench.__version__ == STORED["versions"]["neurobench"]
    snn, images, labels = shipped("vgg-digits")
    metrics, stored = (
        dict(these)
        for these in (
            measure(snn, images, labels, STEPS).metrics,
            NETWORKS["vgg-digits"]["theirs"],
        )
    )
    for name in ("SynapticOperations", "ActivationSparsityByLayer"):
        assert metrics.pop(name) == pytest.approx(stored.pop(name), rel=1e-9)
    assert metrics == pytest.approx(stored, rel=1e-9)


def test_without_neurobench_it_says_how_to_get_it(monkeypatch, capsys):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(records, "version", version)
    assert main(["study", "neurobench"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mst: neurobench is not installed: pip install --no-deps")
