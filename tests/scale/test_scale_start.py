"""First weights from timm's Swin-T: what is copied computes what it computed there."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import tiny

from mstlib.checkpoints.state_dicts import CheckpointError
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.scale.start import measure_statistics, start, swin_weights

# Swin-T in all but its widths and depths.
SHAPE = {"image_size": 224, "width": 24, "depths": (2, 2, 1, 1), "heads": (1, 2, 4, 8)}
SHAPE |= {"window": 7, "mlp_ratio": 4.0, "mlp_norm": False, "levels": None}


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    sizes = {"embed_dim": 24, "depths": (2, 2, 1, 1), "num_heads": (1, 2, 4, 8)}
    model = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, **sizes)
    for parameter in model.parameters():  # not the zeros and ones that it begins with
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def network():
    return MaskedSpikingTransformer(SwinConfig(**SHAPE, classes=1000)).eval()


def test_every_tensor_of_swin_has_its_place(swin, network):
    told = start(network, swin.state_dict())
    assert told.unused == ()
    assert {name.split(".")[-1] for name in told.fresh} == {"threshold"}
    assert told.copied_parameters == sum(p.numel() for p in swin.parameters())
    assert told.parameters == sum(p.numel() for p in network.parameters())
    assert f"copied: {len(told.copied)} tensors" in str(told)
    assert "GELU is replaced by ReLU" in str(told)


@torch.no_grad()
def test_layer_by_layer_the_same_numbers_come_out(swin, network):
    start(network, swin.state_dict())
    images = torch.randn(2, 3, 224, 224)
    theirs = swin.patch_embed.proj(images)
    assert torch.equal(network.patch_embed.proj(images), theirs)
    for stage, (ours, other) in enumerate(zip(network.layers, swin.layers, strict=True)):
        for block, there in zip(ours.blocks, other.blocks, strict=True):
            x = torch.randn(4, 49, 24 << stage)
            assert torch.equal(block.attn.qkv(x), there.attn.qkv(x))
            assert torch.equal(block.attn.proj(x), there.attn.proj(x))
            assert torch.equal(block.mlp.fc2(block.mlp.fc1(x)), there.mlp.fc2(there.mlp.fc1(x)))
            # The bias as it is added to the scores, not only its table.
            assert torch.equal(
                block.attn.relative_position_bias_table[block.attn.relative_position_index],
                there.attn.relative_position_bias_table[there.attn.relative_position_index],
            )
            assert torch.equal(block.norm1.weight, there.norm1.weight)
            assert torch.equal(block.norm2.bias, there.norm2.bias)
    x = torch.randn(3, 192)
    assert torch.equal(network.head(x), swin.head.fc(x))


@torch.no_grad()
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_merging_joins_the_four_tokens_in_the_same_order(swin, network, stage):
    start(network, swin.state_dict())
    side, width = 56 >> stage, 24 << stage
    tokens = torch.randn(2, side, side, width)
    ours, theirs = network.layers[stage].downsample, swin.layers[stage + 1].downsample
    ours.norm, theirs.norm = torch.nn.Identity(), torch.nn.Identity()
    ours.reduction_if = torch.nn.Identity()
    merged = ours(tokens.flatten(1, 2))
    expected = theirs(tokens).flatten(1, 2)
    theirs.norm = torch.nn.LayerNorm(4 * width)
    assert torch.allclose(merged, expected, atol=1e-5)


def test_the_older_layout_has_its_merging_where_ours_is(swin, network):
    old = {}
    for name, value in swin.state_dict().items():
        for stage in (1, 2, 3):
            name = name.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample")
        old[name.replace("head.fc", "head")] = value
    assert start(network, {"relative_position_index": torch.ones(2), **old}).unused == ()
    weight = network.layers[0].downsample.reduction.weight
    assert torch.equal(weight, swin.layers[1].downsample.reduction.weight)


def test_what_has_another_shape_stays_fresh(swin):
    network = MaskedSpikingTransformer(
        SwinConfig(**SHAPE | {"mlp_norm": True}, classes=10, in_channels=16, reduction=3)
    )
    before = network.head.weight.clone()
    told = start(network, swin.state_dict())
    assert told.unused == ("head.fc.weight", "head.fc.bias")
    assert {"head.weight", "reduction.conv.weight"} < set(told.fresh)
    assert "layers.0.blocks.0.mlp.norm1.weight" in told.fresh
    assert torch.equal(network.head.weight, before)
    assert 0.5 < told.share < 1


def test_position_biases_are_resized_for_another_window(swin):
    network = MaskedSpikingTransformer(SwinConfig(**SHAPE | {"image_size": 128, "window": 8}))
    told = start(network, swin.state_dict())
    table = network.layers[0].blocks[0].attn.relative_position_bias_table
    assert table.shape == (225, 1)
    assert "layers.0.blocks.0.attn.relative_position_bias_table" in told.copied


def test_statistics_are_those_of_the_images(swin):
    small = {"image_size": 56, "depths": (1, 1), "heads": (1, 2)}
    network = MaskedSpikingTransformer(SwinConfig(**SHAPE | small))
    start(network, swin.state_dict())
    images = torch.randn(6, 3, 56, 56)
    measure_statistics(network, images)
    tokens = network.patch_embed.proj(images).flatten(2).transpose(1, 2).reshape(-1, 24)
    norm = network.patch_embed.norm
    assert torch.allclose(norm.running_mean, tokens.mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, tokens.var(0), rtol=1e-4)
    assert norm.momentum == 0.1
    assert not network.training


def test_statistics_that_could_not_be_measured_leave_the_momenta():
    network = tiny()
    with pytest.raises(RuntimeError, match="channels"):
        measure_statistics(network, torch.randn(6, 1, 16, 16))
    assert network.patch_embed.norm.momentum == 0.1
    assert not network.training


def test_weights_are_read_from_a_file(swin, network, tmp_path):
    save_file(swin.state_dict(), tmp_path / "swin.safetensors")
    torch.save({"model": swin.state_dict()}, tmp_path / "swin.pth")
    for file in ("swin.safetensors", "swin.pth"):
        weights = swin_weights(str(tmp_path / file))
        assert torch.equal(weights["norm.weight"], swin.norm.weight)


class _Hostile:
    def __reduce__(self):
        return (open, ("written", "w"))


def test_what_is_no_file_of_weights_is_refused(swin, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match='no such start: swin; name a file, "timm" or "none"'):
        swin_weights("swin")
    torch.save({"model": _Hostile()}, "hostile.pth")
    with pytest.raises(CheckpointError, match=r"hostile\.pth is not a file of tensors alone"):
        swin_weights("hostile.pth")
    assert not (tmp_path / "written").exists()
    torch.save([1, 2], "list.pth")
    with pytest.raises(CheckpointError, match="is not a state dict"):
        swin_weights("list.pth")
    with pytest.raises(CheckpointError, match="no tensor fits"):
        start(network, {"x": torch.zeros(3)})
    bad = swin.state_dict() | {"norm.weight": torch.full((192,), torch.nan)}
    with pytest.raises(CheckpointError, match=r"norm\.weight holds values that are NaN"):
        start(network, bad)
