"""Weights: shipped ones come back as they were, and no bad file gets in or runs code."""

import json

import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file, save_file
from tiny import pictures, tiny

import mstlib
from mstlib import CheckpointError, Masking
from mstlib.checkpoints import load_shipped, manifest, save_shipped

OFFICIAL = GOLDEN / "reference_mlp_bn.weights.safetensors"


@pytest.fixture
def shipped(tmp_path):
    """A folder with one shipped model, "small"."""
    model = tiny()
    model.trained_masking = Masking(attention=0.75, blocks=(0, 2))
    save_shipped("small", model, {"seed": 3}, tmp_path)
    return tmp_path


def official(**changes):
    return load_file(OFFICIAL) | changes


def test_a_shipped_model_comes_back_as_it_was(shipped):
    model = load_shipped("small", shipped)
    assert model.config == tiny().config
    assert model.trained_masking == Masking(attention=0.75, blocks=(0, 2))
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(pictures()), tiny()(pictures()))
    entry = manifest(shipped)["small"]
    assert entry["seed"] == 3
    assert len(entry["sha256"]) == 64
    assert sorted(p.name for p in shipped.iterdir()) == ["manifest.json", "small.safetensors"]


def test_another_model_joins_the_manifest(shipped):
    save_shipped("other", tiny(seed=5, attention="pure"), {"seed": 5}, shipped)
    assert sorted(manifest(shipped)) == ["other", "small"]
    assert load_shipped("other", shipped).config.attention == "pure"
    assert load_shipped("other", shipped).trained_masking is None
    load_shipped("small", shipped)


def test_the_readers_names_are_these_functions():
    assert mstlib.load is load_shipped
    assert mstlib.available() == sorted(manifest())


def test_an_unknown_model_is_named_with_those_there_are(shipped):
    with pytest.raises(ValueError, match="no shipped model 'large'; available: small"):
        load_shipped("large", shipped)


def test_a_missing_file_is_named(shipped):
    (shipped / "small.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"small\.safetensors is missing; `make weights`"):
        load_shipped("small", shipped)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "longer", "empty"])
def test_a_damaged_or_altered_file_is_refused(shipped, damage):
    path = shipped / "small.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[-7] ^= 1
    content = {"truncated": content[:-100], "longer": content + b"\0", "empty": b""}.get(
        damage, content
    )
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"small\.safetensors is damaged or was altered"):
        load_shipped("small", shipped)


@pytest.mark.parametrize("theta", [0.0, -0.5])
def test_a_threshold_that_is_not_positive_is_named(tmp_path, theta):
    model = tiny()
    model.layers[0].blocks[1].attn.k_if.threshold.data.fill_(theta)
    save_shipped("bad", model, {}, tmp_path)
    with pytest.raises(
        CheckpointError,
        match=rf"bad\.safetensors: .* θ of layers\.0\.blocks\.1\.attn\.k_if is {theta:g}; .* > 0",
    ):
        load_shipped("bad", tmp_path)
    weights = official(**{"layers.1.blocks.0.mlp.fc1_if.up": torch.tensor([theta])})
    with pytest.raises(CheckpointError, match=r"θ of layers\.1\.blocks\.0\.mlp\.fc1_if is .* > 0"):
        mstlib.load_official(weights)
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: the threshold θ of layers\.1"):
        mstlib.load_official(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    model = tiny()
    model.head.weight.data[0, 0] = value
    save_shipped("bad", model, {}, tmp_path)
    with pytest.raises(
        CheckpointError, match=r"head\.weight holds values that are NaN or infinite"
    ):
        load_shipped("bad", tmp_path)


def test_a_manifest_that_does_not_fit_its_weights_is_refused(shipped):
    path = shipped / "manifest.json"
    known = json.loads(path.read_text())
    known["small"]["config"]["width"] = 24
    path.write_text(json.dumps(known))
    with pytest.raises(CheckpointError, match=r"small\.safetensors does not fit its network"):
        load_shipped("small", shipped)
