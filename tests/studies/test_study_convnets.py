"""Masked convolutional networks: deliveries, what is stored, and what is trained again."""

from dataclasses import replace

import pytest
import torch
from small_convnets import SMALL, fitted, pictures

import mstlib
from mstlib.masking import Masking
from mstlib.models.convnets import convnet
from mstlib.studies import convnets, records
from mstlib.studies.convnets import CASES, Case, delivered, emitted, find, measure, results, run


@pytest.mark.parametrize("ratio", [0.0, 0.5])
@pytest.mark.parametrize("name", SMALL)
def test_deliveries_are_what_hooks_count_at_every_reader(name, ratio):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = fitted(convnet(replace(SMALL[name], levels=None)))
    snn, x = mstlib.convert(net), pictures().double()
    seen = {}

    def watch(name):
        def hook(module, inputs):
            for operand, spikes in enumerate(inputs):
                key = name, operand
                seen[key] = seen.get(key, 0) + int(spikes.count_nonzero())

        return hook

    modules = dict(snn.net.named_modules())
    pairs = [(layer, r) for layer, readers in snn.net.readers.items() for r in readers]
    assert {layer for layer, _ in pairs} == set(snn.neurons)
    for _, reader in pairs:
        modules[reader.removesuffix("_mask")].register_forward_pre_hook(watch(reader))
    run = mstlib.simulate(snn, x, 6, Masking(conv=ratio))
    counted = {}
    for layer, reader in pairs:
        operand = int(reader.endswith("sum"))
        spikes = seen[reader, operand] / run.image_steps
        counted[layer] = counted.get(layer, 0) + spikes
    assert delivered(snn, run) == pytest.approx(counted)
    assert sum(emitted(run).values()) == pytest.approx(run.power() * 1e-3)
    if ratio == 0:
        sizes = {layer: len(readers) for layer, readers in snn.net.readers.items()}
        assert delivered(snn, run) == pytest.approx(
            {k: v * sizes[k] for k, v in emitted(run).items()}
        )


def test_every_case_of_the_sweep_is_stored_with_its_recipe():
    rows = results()
    assert len(rows) == len(CASES)
    for case in CASES:
        row = find(rows, case)
        assert (row["recipe"] is not None) == case.tuned
        assert len(row["snn"]["64"]) == (1 if case.ratio == 0 else 10 if case.tuned else 3)
        assert set(row["emitted"]) == set(row["delivered"])
        assert abs(sum(row["emitted"].values()) * 1000 / row["power"] - 1) < 1e-3


def test_a_stored_result_comes_out_again():
    case = Case("resnet-digits", 0.1, tuned=False)
    stored = find(results(), case)
    again = measure(mstlib.load(case.network), "digits", case.ratio, 100, 1)
    assert abs(sum(again["emitted"].values()) / sum(stored["emitted"].values()) - 1) < 0.05
    assert abs(again["snn"]["64"][0] - stored["snn"]["64"][0]) < 0.1


def test_all_that_is_to_be_measured_is_stored_so_that_nothing_is_trained(monkeypatch):
    before = convnets.TABLE.path.read_bytes()
    monkeypatch.setattr(convnets, "student", None)
    run()
    assert convnets.TABLE.path.read_bytes() == before


def test_students_are_trained_once_and_measured_under_their_masks(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "KEPT", tmp_path / ".training")
    taught, measured = [], []

    def distil(teacher, how, **options):
        taught.append(how)
        return teacher

    def seen(model, name, ratio, runs):
        measured.append((name, ratio, runs))
        return {"snn": {}}

    monkeypatch.setattr(convnets, "distil", distil)
    monkeypatch.setattr(convnets, "measure", seen)
    cases = (Case("vgg-digits", 0.5), Case("vgg-digits", 0.5, tuned=False))
    monkeypatch.setattr(convnets, "CASES", cases)
    for file in ("one.json", "two.json"):  # the second time from the weights that were kept
        monkeypatch.setattr(convnets, "TABLE", replace(convnets.TABLE, path=tmp_path / file))
        run()
    assert taught == [cases[0].recipe]
    assert measured == [("digits", 0.5, 10), ("digits", 0.5, 3)] * 2
    assert [row["recipe"] is None for row in results()] == [False, True]
    kept = [path.name for path in (tmp_path / ".training").iterdir()]
    assert kept == ["vgg-digits-conv-50-3.safetensors"]
