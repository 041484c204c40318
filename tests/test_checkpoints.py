"""Weights: shipped ones come back as they were, and no bad file gets in or runs code."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_golden import GOLDEN
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


class Payload:
    """What an attacker pickles: unpickling it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch.save", "inside a state dict", 2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path, form, suffix):
    marker, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    if isinstance(form, int):
        path.write_bytes(pickle.dumps(Payload(marker), protocol=form))
    elif form == "torch.save":
        torch.save(Payload(marker), path)
    else:
        torch.save({"model": official() | {"head.bias": Payload(marker)}}, path)
    with pytest.raises(CheckpointError, match=rf"evil{suffix} holds more than tensors.*refused"):
        mstlib.load_official(path)
    assert not marker.exists()


def test_the_payload_of_these_tests_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrapped", [False, True], ids=["state dict", "under 'model'"])
def test_a_pth_of_tensors_loads(tmp_path, wrapped):
    path = tmp_path / "good.pth"
    torch.save({"model": official(), "epoch": 3} if wrapped else official(), path)
    x = pictures(2, side=32)
    with torch.no_grad():
        assert torch.equal(mstlib.load_official(path)(x), mstlib.load_official(OFFICIAL)(x))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    (torch.save if suffix == ".pth" else save_file)(official(), whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=rf"cut{suffix} is damaged or truncated"):
        mstlib.load_official(path)


def test_files_that_hold_something_else_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file: .*nowhere\.pth"):
        mstlib.load_official(tmp_path / "nowhere.pth")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"list\.pth is not a state dict"):
        mstlib.load_official(tmp_path / "list.pth")
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors is not in the layout of the auth"
    ):
        mstlib.load_official(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra.weight": torch.ones(2)}, "the state dict does not fit its network.*extra.weight"),
        ({"head.bias": torch.ones(3)}, "the state dict does not fit its network.*head.bias"),
        ({"head.bias": None}, "the state dict does not fit its network.*head.bias"),
        ({"head.weight": None}, "not in the layout of the authors' checkpoints.*head.weight"),
    ],
)
def test_tensors_too_many_missing_or_of_another_shape_are_named(change, message):
    weights = {k: v for k, v in official(**change).items() if v is not None}
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        mstlib.load_official(weights)


def test_an_image_size_that_does_not_fit_is_refused():
    with pytest.raises(CheckpointError, match="does not divide into windows"):
        mstlib.load_official(OFFICIAL, image_size=40)


def test_shape_and_variant_are_read_off_the_weights():
    for name, mlp_norm in (("reference_mlp_bn", True), ("reference_mlp_plain", False)):
        path = GOLDEN / f"{name}.weights.safetensors"
        model = mstlib.load_official(path, levels=16, masking=Masking(attention=0.5))
        c = model.config
        assert (c.width, c.depths, c.heads, c.window) == (24, (2, 2), (3, 6), 4)
        assert (c.mlp_ratio, c.classes, c.in_channels, c.patch_size) == (2.0, 10, 3, 4)
        assert (c.mlp_norm, c.final_norm, c.residual) == (mlp_norm, "layer", "norm")
        assert (c.attention, c.levels) == ("softmax", 16)
        assert model.trained_masking == Masking(attention=0.5)
        assert not model.training
