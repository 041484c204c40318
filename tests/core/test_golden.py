"""Parity with reference runs of two small networks with the authors' layer names.

Their float64 runs are reproduced spike by spike; a float32 run parts from them at the first
potential that rounding moves across a threshold, and is compared as a whole.
"""

import json

import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file

import mstlib

STEPS = 32


@pytest.fixture(scope="module", params=["reference_mlp_bn", "reference_mlp_plain"])
def golden(request):
    name = request.param
    expected = load_file(GOLDEN / f"{name}.expected.safetensors")
    expected["spike_counts"] = json.loads((GOLDEN / f"{name}.json").read_text())["spike_counts"]
    return GOLDEN / f"{name}.weights.safetensors", expected


def test_qcfs_logits_equal_the_reference(golden):
    path, expected = golden
    ann = mstlib.load_official(path, levels=8).double()
    with torch.no_grad():
        logits = ann(expected["images"].double())
    torch.testing.assert_close(logits, expected["ann_logits"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "unfolded"])
@pytest.mark.parametrize("chunk", [1, 16])
def test_every_step_and_every_layer_equal_the_reference(golden, fold, chunk):
    path, expected = golden
    snn = mstlib.convert(mstlib.load_official(path, levels=8).double(), fold=fold)
    run = mstlib.simulate(snn, expected["images"].double(), steps=STEPS, chunk=chunk)
    assert run.logits.shape == expected["snn_step_logits"].shape == (STEPS, 4, 10)
    torch.testing.assert_close(run.logits, expected["snn_step_logits"], atol=1e-9, rtol=0)
    assert run.spike_counts == expected["spike_counts"]


def test_float32_agrees_as_a_whole(golden):
    path, expected = golden
    run = mstlib.simulate(
        mstlib.convert(mstlib.load_official(path, levels=8)), expected["images"], steps=STEPS
    )
    assert run.logits.dtype == torch.float32
    mean = expected["snn_step_logits"].mean(0).float()
    torch.testing.assert_close(run.logits.mean(0), mean, atol=0.05, rtol=0)
    assert set(run.spike_counts) == set(expected["spike_counts"])
    for layer, count in expected["spike_counts"].items():
        assert run.spike_counts[layer] == pytest.approx(count, rel=0.01), layer


def test_a_state_dict_loads_like_its_file(golden):
    path, expected = golden
    weights = {f"module.{name}": value for name, value in load_file(path).items()}
    with torch.no_grad():
        same = mstlib.load_official(weights, levels=8)(expected["images"])
        assert torch.equal(same, mstlib.load_official(path, levels=8)(expected["images"]))
