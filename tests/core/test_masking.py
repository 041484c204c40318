"""Random spike masks: their numbers, their places, and what they refuse."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import mask_number
from tiny import pictures, tiny

import mstlib
from mstlib.masking import Masking, RandomSpikeMask, mask_numbers, set_masking

FIRST_NUMBERS = [1370566, 5370450, 11874859, 1493851, 538246, 5369778, 7791136, 15096181]
BAD_RATIOS = [1.0, 1.5, -0.1, float("nan"), float("inf"), "0.5", None]


def kept(seed=0, site=0, ratio=0.5, steps=50, images=20, units=100):
    """What a mask lets through of all ones, as 0 and 1, (steps, images, units)."""
    mask = RandomSpikeMask("attention", block=0, site=site)
    mask.set(Masking(attention=ratio), seed)
    mask.begin(range(steps), range(images))
    return mask(torch.ones(steps * images, units)).view(steps, images, units)


@given(
    st.integers(0, 2**31 - 1),
    st.integers(0, 200),
    st.integers(0, 1000),
    st.integers(0, 100_000),
    st.integers(0, 1_000_000),
)
def test_numbers_are_those_of_the_hash_in_plain_python(seed, site, step, image, unit):
    first = max(0, unit - 2)
    got = mask_numbers(seed, site, range(step, step + 2), range(image, image + 2), unit + 1)
    expected = [
        [
            [mask_number(seed, site, t, b, u) for u in range(first, unit + 1)]
            for b in (image, image + 1)
        ]
        for t in (step, step + 1)
    ]
    assert got[:, :, first:].tolist() == expected


def test_first_numbers_are_pinned():
    """Stored results and other languages rely on them."""
    got = mask_numbers(0, 0, range(2), range(1), 4).flatten().tolist()
    assert got == FIRST_NUMBERS
    assert got == [mask_number(0, 0, t, 0, u) for t in range(2) for u in range(4)]


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
def test_the_kept_share_is_one_minus_the_ratio(ratio):
    keep = kept(ratio=ratio)
    assert set(keep.unique().tolist()) == {0.0, 1.0}  # what is kept is not rescaled
    n = keep.numel()
    bound = 4 * math.sqrt(ratio * (1 - ratio) / n)
    assert abs(float(keep.mean()) - (1 - ratio)) < bound
    for axis in ((1, 2), (0, 2), (0, 1)):  # also in each step, each image, each neuron
        share = keep.mean(axis)
        bound = 5 * math.sqrt(ratio * (1 - ratio) * len(share) / n)
        assert float((share - (1 - ratio)).abs().max()) < bound


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("step", lambda a: (a[:-1], a[1:])),
        ("two steps", lambda a: (a[:-2], a[2:])),
        ("image", lambda a: (a[:, :-1], a[:, 1:])),
        ("neuron", lambda a: (a[:, :, :-1], a[:, :, 1:])),
        ("half the neurons", lambda a: (a[:, :, :50], a[:, :, 50:])),
        ("site", lambda a: (a, kept(site=1))),
        ("seed", lambda a: (a, kept(seed=1))),
        ("far seed", lambda a: (a, kept(seed=2**20))),
    ],
)
def test_masks_that_differ_in_one_thing_are_independent(what, other):
    a, b = other(kept())
    correlation = float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))
    assert abs(correlation) < 4 / math.sqrt(a.numel()), what


def test_the_same_seed_gives_the_same_mask():
    assert torch.equal(kept(seed=5), kept(seed=5))


def test_a_higher_ratio_drops_more_and_nothing_else():
    low, high = kept(ratio=0.3), kept(ratio=0.6)
    assert bool((high <= low).all())


def test_at_zero_it_hands_its_input_on():
    mask = RandomSpikeMask("mlp", block=0, site=0)
    x = torch.rand(4, 3)
    assert mask(x) is x
    mask.set(Masking(attention=0.9), seed=0)  # not its kind
    assert mask(x) is x
    mask.set(Masking(mlp=0.9, blocks=(1, 2)), seed=0)  # not its block
    assert mask(x) is x
    mask.set(Masking(mlp=0.9, blocks=(0,)), seed=0)
    assert mask(x) is not x


def test_it_works_in_training_as_in_evaluation():
    mask = RandomSpikeMask("mlp", block=0, site=0)
    x = torch.ones(8, 100)
    for mode in (True, False):
        mask.train(mode)
        mask.set(Masking(mlp=0.5), seed=0)
        assert 300 < int(mask(x).sum()) < 500


def test_each_call_in_training_draws_a_fresh_mask_and_the_gradient_sees_it():
    mask = RandomSpikeMask("mlp", block=0, site=0)
    mask.set(Masking(mlp=0.5), seed=0)
    x = torch.ones(8, 100, requires_grad=True)
    first, second = mask(x), mask(x)
    assert not torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(x.grad, first.detach())


def test_it_counts_what_it_delivers():
    mask = RandomSpikeMask("conv", block=0, site=0)
    mask.set(Masking(conv=0.5), seed=0)
    mask.begin(range(3), range(2))
    x = (torch.rand(6, 40) > 0.5).float() * 0.7
    out = mask(x)
    assert mask.delivered == int((out != 0).sum()) < int((x != 0).sum())
    mask(x)
    assert mask.delivered == 2 * int((out != 0).sum())
    mask.reset()
    assert mask.delivered == 0


def test_one_step_later_is_the_next_row_of_the_mask():
    mask = RandomSpikeMask("conv", block=0, site=3)
    mask.set(Masking(conv=0.5), seed=9)
    mask.begin(range(6), range(5))
    whole = mask(torch.ones(30, 7)).view(6, 5, 7)
    mask.begin(range(2, 4), range(1, 4))
    assert torch.equal(mask(torch.ones(6, 7)).view(2, 3, 7), whole[2:4, 1:4])


def test_blocks_choose_where():
    snn = mstlib.convert(tiny().double())
    x = pictures(4).double()
    runs = {
        blocks: mstlib.simulate(snn, x, 12, Masking(attention=0.5, blocks=blocks))
        for blocks in (None, (0, 1, 2), (1,), ())
    }
    plain = mstlib.simulate(snn, x, 12)
    assert torch.equal(runs[None].logits, runs[0, 1, 2].logits)
    assert torch.equal(runs[()].logits, plain.logits)
    first = "layers.0.blocks.0"
    second = "layers.0.blocks.1.attn."
    for name, count in runs[1,].spike_counts.items():
        if name.startswith(first):
            assert count == plain.spike_counts[name]
    assert len(runs[1,].delivered) == 3
    sent = {n: c for n, c in runs[1,].spike_counts.items() if n.startswith(second)}
    for spikes, mask in (("q_if", "q_mask"), ("k_if", "k_mask"), ("attn_if", "attn_mask")):
        emitted, delivered = sent[second + spikes], runs[1,].delivered[second + mask]
        assert 0.3 < delivered / emitted < 0.7


def test_masks_sit_on_queries_keys_and_scores_and_before_the_linear_layers_of_the_mlp():
    kinds = {
        name.removeprefix("layers.0.blocks.0."): (mask.kind, mask.block)
        for name, mask in mstlib.convert(tiny()).masks.items()
        if name.startswith("layers.0.blocks.0.")
    }
    assert kinds == {
        "attn.q_mask": ("attention", 0),
        "attn.k_mask": ("attention", 0),
        "attn.attn_mask": ("attention", 0),
        "mlp.in_mask": ("mlp", 0),
        "mlp.hidden_mask": ("mlp", 0),
    }


def test_every_site_of_a_network_has_its_own_number():
    masks = mstlib.convert(tiny()).masks.values()
    assert len({mask.site for mask in masks}) == len(masks) == 15


def test_a_masking_is_true_when_it_masks():
    assert not Masking()
    assert not Masking(attention=0.5, blocks=())
    assert Masking(mlp=0.1)
    assert Masking(conv=0.1, blocks=[2, 1, 1]).blocks == (1, 2)
    assert Masking(attention=0.5, blocks=[1]) == Masking(attention=0.5, blocks=(1,))


@pytest.mark.parametrize("kind", ["attention", "mlp", "conv"])
@pytest.mark.parametrize("ratio", BAD_RATIOS)
def test_a_ratio_outside_zero_to_one_is_named(kind, ratio):
    with pytest.raises(
        ValueError, match=rf"Masking\({kind}=…\) must be in \[0, 1\), not "
    ) as trouble:
        Masking(**{kind: ratio})
    assert repr(ratio) in str(trouble.value)


@pytest.mark.parametrize("blocks", [(-1,), (0.5,), ("0",)])
def test_blocks_are_whole_numbers(blocks):
    with pytest.raises(ValueError, match="blocks must be whole numbers >= 0"):
        Masking(attention=0.5, blocks=blocks)


def test_a_block_or_kind_that_the_network_lacks_is_named():
    net = tiny()
    with pytest.raises(ValueError, match=r"no block \[3, 7\] to mask; .* has \[0, 1, 2\]"):
        set_masking(net, Masking(attention=0.5, blocks=(1, 3, 7)))
    with pytest.raises(ValueError, match=r"no 'conv' masks \(it has: \['attention', 'mlp'\]\)"):
        set_masking(net, Masking(conv=0.5))
    with pytest.raises(ValueError, match="no block"):
        mstlib.simulate(mstlib.convert(net), pictures(), 2, Masking(mlp=0.5, blocks=(9,)))
    with pytest.raises(ValueError, match="kind must be one of"):
        RandomSpikeMask("everything", block=0, site=0)


def test_a_ratio_for_each_block_reaches_its_block():
    net = tiny()
    ratios = (0.25, 0.0, 0.75)
    set_masking(net, Masking(attention=ratios, mlp=0.5))
    for site in (m for m in net.modules() if isinstance(m, RandomSpikeMask)):
        assert site.ratio == (0.5 if site.kind == "mlp" else ratios[site.block])
    set_masking(net, Masking(attention=ratios, blocks=[0]))
    seen = {m.block: m.ratio for m in net.modules() if isinstance(m, RandomSpikeMask)}
    assert not any(ratio for block, ratio in seen.items() if block != 0)


def test_one_ratio_for_each_block_must_fit_the_network():
    net = tiny()
    with pytest.raises(ValueError, match=rf"9 attention ratios for the {len(net.blocks)} blocks"):
        set_masking(net, Masking(attention=[0.5] * 9))
    with pytest.raises(ValueError, match=r"Masking\(mlp=…\) must be in \[0, 1\), not 1.5"):
        Masking(mlp=[0.5, 1.5])


def test_ratios_by_block_compare_and_survive_json():
    masking = Masking(attention=[0.5, 0.0])
    assert masking == Masking(attention=(0.5, 0.0))
    assert Masking(**json.loads(json.dumps(asdict(masking)))) == masking
    assert masking
    assert not Masking(attention=(0.0, 0.0))
