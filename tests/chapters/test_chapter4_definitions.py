"""What chapter 4 writes out by hand is what the library does."""

import pytest
import torch
from reading import definition
from tiny import pictures, tiny

import mstlib
from mstlib.analysis.ledger import ledger
from mstlib.analysis.products import KINDS
from mstlib.convert import SpikingNetwork
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.neurons import IFNeuron, integrate_and_fire

NOTEBOOK = "04_spiking_self_attention.ipynb"
NODES = {"q": "q_if", "k": "k_if", "v": "v_if", "a": "attn_if", "mixed": "attn_v_if"}


def taken(name, **names):
    return definition(NOTEBOOK, name, torch=torch, integrate_and_fire=integrate_and_fire, **names)


@pytest.mark.parametrize("form", ["softmax", "pure"])
def test_attention_by_hand_is_the_network_s_spike_for_spike(form):
    steps, snn = 9, mstlib.convert(tiny(attention=form).double())
    attention = snn.net.layers[1].blocks[0].attn  # one window
    seen = {}
    attention.register_forward_hook(lambda m, x, out: seen.update(x=x[0], out=out))
    mstlib.simulate(snn, pictures(1).double(), steps, chunk=steps)
    fire = taken("fire")
    by_hand = taken("spiking_attention", fire=fire)(
        seen["x"],
        attention.qkv.weight,
        attention.qkv.bias,
        {name: getattr(attention, node).threshold.item() for name, node in NODES.items()},
        attention.heads,
        None if form == "pure" else attention.softmax.bias[0],
    )
    out = fire(attention.proj(by_hand["mixed"]), attention.proj_if.threshold.item())
    assert torch.equal(out, seen["out"])
    assert out.any()


@pytest.mark.parametrize("kind", KINDS)
def test_products_by_hand_are_the_library_s(kind):
    draw = torch.Generator().manual_seed(0)
    q, k = ((torch.rand(10, 4, 3, generator=draw) < 0.5).double() for _ in range(2))
    product = KINDS[kind]()
    if kind != "step":
        product.expect(10, 1)
    by_hand = taken("running_products")(q, k, kind)
    torch.testing.assert_close(by_hand, product(q, k.mT), rtol=0, atol=1e-13)


def test_the_gap_of_a_product_is_the_ledger_s():
    snn = mstlib.convert(tiny().double())
    scores, seen = snn.net.layers[1].blocks[0].attn.scores, {}
    hook = scores.register_forward_hook(lambda m, x, out: seen.update(q=x[0], k=x[1]))
    mstlib.simulate(snn, pictures(1).double(), 8, chunk=8)
    hook.remove()
    (entry,) = (
        e
        for e in ledger(snn, pictures(1).double(), 8)
        if e.layer == "layers.1.blocks.0.attn.scores"
    )
    gap = (seen["q"] @ seen["k"]).mean(0) - seen["q"].mean(0) @ seen["k"].mean(0)
    assert scores.scale * gap.square().mean().sqrt() == pytest.approx(entry.error)
    # The chapter's gap is this one, for a single feature and neurons of constant current.
    a, b = torch.rand(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k = (integrate_and_fire(x.expand(20, -1), 1.0)[0] for x in (a, b))
    by_feature = (q * k).mean(0) - q.mean(0) * k.mean(0)
    torch.testing.assert_close(taken("product_gap")(a, b, 20), by_feature)


@pytest.mark.parametrize(
    ("tokens", "window"), [(8, 4), (12, 4), (4, 2), (6, 2)], ids=lambda n: str(n)
)
def test_windows_by_hand_are_the_network_s(tokens, window):
    config = SwinConfig(
        image_size=tokens * 2, patch_size=2, width=6, depths=(2,), heads=(1,), window=window
    )
    allow = taken("may_attend", windows=taken("windows"))
    for block in MaskedSpikingTransformer(config).blocks:
        theirs = torch.zeros(tokens**2, tokens**2, dtype=torch.bool)
        for w, members in enumerate(block.order.view(-1, window**2)):
            apart = block.attn.apart
            theirs[members[:, None], members] = True if apart is None else ~apart[w]
        assert torch.equal(allow(tokens, window, block.shift), theirs)


def test_coarser_spikes_keep_the_mean():
    snn = mstlib.convert(tiny().double())

    coarser = definition(
        NOTEBOOK, "coarser", nn=torch.nn, IFNeuron=IFNeuron, SpikingNetwork=SpikingNetwork
    )
    plain = mstlib.simulate(snn, pictures(2).double(), 64)
    same = mstlib.simulate(coarser(snn, 1), pictures(2).double(), 64)
    assert torch.equal(plain.logits, same.logits)
    run = mstlib.simulate(coarser(snn, 4), pictures(2).double(), 64)
    name = "layers.0.blocks.0.attn.attn_if"
    fine, coarse = run.neuron_counts[f"{name}.0"], run.neuron_counts[f"{name}.1"]
    assert fine.sum() > 0
    # Two images: at most one coarse spike up or down for each.
    assert (fine - 4 * coarse).abs().max() <= 2 * 4
    assert torch.equal(fine, plain.neuron_counts[name])  # what comes before is untouched
