"""The transformer: its size, its shape, its parts."""

import pytest
import torch
from tiny import pictures, tiny
from torch import nn

from mstlib.analysis.audit import audit
from mstlib.convert import convert
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig, swin_tiny
from mstlib.qcfs import QCFS


@pytest.mark.parametrize(
    ("classes", "mlp_norm", "parameters"),
    [(10, False, 27_527_168), (100, False, 27_596_378), (1000, True, 28_332_638)],
    ids=["CIFAR-10", "CIFAR-100", "ImageNet"],
)
def test_the_full_size_network_has_the_parameters_of_the_authors_code(
    classes, mlp_norm, parameters
):
    model = swin_tiny(classes, mlp_norm=mlp_norm)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(isinstance(m, QCFS) for m in model.modules()) == 1 + 12 * 10 + 3
    assert model.input_shape == (3, 224, 224)
    sizes = [(len(stage.blocks), stage.blocks[0].tokens) for stage in model.layers]
    assert sizes == [(2, 56), (2, 28), (6, 14), (2, 7)]
    assert [b.shift for b in model.blocks] == [0, 3, 0, 3, *[0, 3] * 3, 0, 0]


@pytest.mark.parametrize("attention", ["softmax", "pure"])
@pytest.mark.parametrize("final_norm", ["batch", "layer"])
@pytest.mark.parametrize("residual", ["x", "norm"])
@pytest.mark.parametrize("mlp_norm", [True, False])
def test_each_variant_runs_and_depends_on_its_image(attention, final_norm, residual, mlp_norm):
    model = tiny(
        attention=attention, final_norm=final_norm, residual=residual, mlp_norm=mlp_norm, classes=7
    )
    with torch.no_grad():
        logits = model(pictures(5))
    assert logits.shape == (5, 7)
    assert float(logits.std(0).min()) > 1e-3


def test_the_second_residual_starts_where_the_variant_says():
    from_x, from_norm = (tiny(residual=r).blocks[0] for r in ("x", "norm"))
    from_norm.load_state_dict(from_x.state_dict())
    for block in (from_x, from_norm):
        torch.nn.init.constant_(block.mlp.norm2.weight, 0)
        torch.nn.init.constant_(block.mlp.norm2.bias, -1)  # the MLP says nothing
        torch.nn.init.constant_(block.attn.proj.weight, 0)
        torch.nn.init.constant_(block.attn.proj.bias, -1)  # nor does the attention
    x = torch.randn(2, 16, 12)
    with torch.no_grad():
        assert torch.equal(from_x(x), x)
        assert torch.equal(from_norm(x), from_norm.norm2(x))


def test_only_neighbours_attend_in_a_shifted_window():
    """A change of one token reaches, through one shifted block, just its own window's tokens."""
    block = tiny(levels=64).blocks[1].double()
    assert block.shift == 1
    assert tuple(block.attn.apart.shape) == (4, 4, 4)
    x = torch.randn(1, 16, 12, generator=torch.Generator().manual_seed(0)).double()
    for token, reached in ((0, {0}), (5, {5, 6, 9, 10}), (3, {3}), (1, {1, 2}), (8, {4, 8})):
        seen = set()
        for trial in range(20):
            moved = x.clone()
            moved[0, token] += 3 * torch.randn(12, generator=torch.Generator().manual_seed(trial))
            with torch.no_grad():
                change = (block(moved) - block(x)).abs().sum(-1)[0]
            seen |= set(change.nonzero().flatten().tolist())
        assert seen == reached


def test_unshifted_windows_do_not_talk():
    block = tiny(levels=64).blocks[0]
    assert (block.shift, block.attn.apart) == (0, None)
    x = torch.randn(1, 16, 12, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[0, 0] += 3
    with torch.no_grad():
        change = (block(moved) - block(x)).abs().sum(-1)[0]
    assert set(change.nonzero().flatten().tolist()) <= {0, 1, 4, 5}
    assert change[0] > 0


def test_pure_attention_has_no_softmax_and_no_position_bias():
    names = [name for name, _ in tiny(attention="pure").named_parameters()]
    assert not any("relative_position" in name for name in names)
    assert any("relative_position" in name for name, _ in tiny().named_parameters())


def test_attention_weights_are_positive_and_sum_to_one_under_softmax_only():
    a = torch.rand(8, 3, 4, 4)
    for attention, total in (("softmax", torch.ones(8, 3, 4)), ("pure", a.mean(-1))):
        weights = tiny(attention=attention).blocks[0].attn._weights(a)
        torch.testing.assert_close(weights.sum(-1), total)


@pytest.mark.parametrize("attention", ["softmax", "pure"])
def test_every_activation_of_a_tiny_network_is_alive(attention):
    """The tests with tiny networks would prove little on dead ones."""
    model, shares = tiny(attention=attention), {}
    for name, module in model.named_modules():
        if isinstance(module, QCFS):
            module.register_forward_hook(
                lambda _, __, out, name=name: shares.update({name: float((out > 0).float().mean())})
            )
    with torch.no_grad():
        model(pictures(16))
    assert min(shares.values()) > 0.05, shares
    assert max(shares.values()) < 0.99, shares


def test_stacked_frames_are_reduced_to_a_few_channels_of_spikes():
    """§4.2: a first layer takes n·C channels to 3; it converts and folds like every other."""
    assert tiny().reduction is None
    model, frames = tiny(in_channels=10, reduction=3), pictures(4, channels=10)
    assert model.input_shape == (10, 16, 16)
    assert model.patch_embed.proj.in_channels == 3
    snn = convert(model)
    assert isinstance(snn.net.reduction.norm, nn.Identity)
    assert next(iter(snn.neurons)) == "reduction.conv_if"
    first = {e.layer: e.kind for e in audit(snn, frames)[:2]}
    assert first == {"reduction.conv": "real", "patch_embed.proj": "scaled binary"}
    with torch.no_grad():
        reduced, spikes = model.reduction(frames), 0
        assert reduced.shape == (4, 3, 16, 16)
        for _ in range(model.config.levels):
            snn.begin(range(1), range(4))
            spikes += snn.net.reduction(frames)
    torch.testing.assert_close(spikes / model.config.levels, reduced)  # T = L: exact (Eq. 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "linear"}, "attention must be one of .*softmax.*pure.* not 'linear'"),
        ({"final_norm": "none"}, "final_norm must be one of .*batch.*layer"),
        ({"residual": "y"}, "residual must be one of .*x.*norm"),
        ({"heads": (3,)}, r"depths \(2, 2\) and heads \(3,\) differ in length"),
        ({"heads": (5, 6)}, "stage 0: 48 channels, 5 heads"),
        ({"window": 3}, "does not divide into windows of 3"),
        ({"mlp_norm": "no"}, "mlp_norm must be one of .*False, True.*, not 'no'"),
        ({"reduction": 0}, "reduction must be None or a whole number from 1 to 4096, not 0"),
        ({"levels": 0}, "levels must be None or a whole number from 1 to 65535, not 0"),
        ({"levels": 65536}, "levels must be .*, not 65536"),
        ({"image_size": 0}, "image_size must be a whole number from 1 to 4096, not 0"),
        ({"image_size": 4097}, "image_size must be .*, not 4097"),
        ({"patch_size": 0}, "patch_size must be a whole number from 1 to 4096, not 0"),
        ({"in_channels": 0}, "in_channels must be a whole number from 1 to 4096, not 0"),
        ({"classes": -1}, "classes must be a whole number from 1 to 1000000, not -1"),
        ({"width": 0}, "width must be a whole number from 1 to 8192, not 0"),
        ({"width": 48.0}, "width must be .*, not 48.0"),
        ({"width": True}, "width must be .*, not True"),
        ({"window": 0}, "window must be a whole number from 1 to 4096, not 0"),
        ({"depths": (2, -1)}, "each of depths must be a whole number from 1 to 256, not -1"),
        ({"depths": 2}, "depths must be a list of 1 to 8 whole numbers, .*, not 2"),
        ({"depths": (), "heads": ()}, r"depths must be a list of 1 to 8 .*, not \(\)"),
        ({"depths": (1,) * 9, "heads": (1,) * 9}, "depths must be a list of 1 to 8 whole"),
        ({"heads": (0, 0)}, "each of heads must be a whole number from 1 to 1024, not 0"),
        ({"mlp_ratio": 0}, "mlp_ratio must be a number above 0 and at most 64, not 0"),
        ({"mlp_ratio": -1.0}, "mlp_ratio must be .*, not -1.0"),
        ({"mlp_ratio": float("inf")}, "mlp_ratio must be .*, not inf"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio must be .*, not nan"),
        ({"mlp_ratio": "2"}, "mlp_ratio must be .*, not '2'"),
        ({"mlp_ratio": 0.01}, "mlp_ratio 0.01 leaves 48 channels no hidden one"),
        ({"image_size": 3}, "stage 0: no token is left of image_size 3 and patch_size 4"),
        ({"image_size": 12}, "stage 0: a map of 3 tokens a side cannot be merged by twos"),
    ],
)
def test_a_shape_that_cannot_be_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        MaskedSpikingTransformer(SwinConfig(**changes))
