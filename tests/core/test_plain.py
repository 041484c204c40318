"""The engine against the plain loop: the same spikes, and a memory that does not grow with time."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import pictures, tiny
from torch.profiler import ProfilerActivity, profile

import mstlib
from mstlib import Masking
from mstlib.plain import plain_loop

MASKINGS = [
    None,
    Masking(attention=0.5),
    Masking(mlp=0.25),
    Masking(attention=0.75, mlp=0.5, blocks=(0, 2)),
]
FORMS = ("softmax", "pure")
NETWORKS = {form: tiny(attention=form).double() for form in FORMS}
IMAGES = pictures(7).double()
STEPS = 12
PLAIN = {
    (form, i): plain_loop(ann, IMAGES, STEPS, masking, seed=4)
    for form, ann in NETWORKS.items()
    for i, masking in enumerate(MASKINGS)
}


def assert_same(run, plain):
    """Every answer and every spike are equal."""
    assert (run.steps, run.images) == (plain.steps, plain.images)
    for t in range(1, plain.steps + 1):
        assert torch.equal(run.predictions(t), plain.predictions(t))
    for mine, theirs in (
        (run.neuron_counts, plain.neuron_counts),
        (run.step_counts, plain.step_counts),
    ):
        assert list(mine) == list(theirs)
        assert [name for name in theirs if not torch.equal(mine[name], theirs[name])] == []
    assert run.delivered == plain.delivered
    assert (run.masking, run.seed) == (plain.masking, plain.seed)
    torch.testing.assert_close(run.logits, plain.logits, atol=1e-9, rtol=0)


@settings(max_examples=30)
@given(
    st.sampled_from(FORMS),
    st.sampled_from(range(len(MASKINGS))),
    st.integers(1, STEPS + 1),
    st.integers(1, len(IMAGES) + 1),
)
def test_every_spike_is_the_plain_loops(form, masking, chunk, batch_size):
    snn = mstlib.convert(NETWORKS[form])
    run = mstlib.simulate(
        snn, IMAGES, STEPS, MASKINGS[masking], 4, chunk=chunk, batch_size=batch_size
    )
    assert_same(run, PLAIN[form, masking])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("residual", ["x", "norm"])
@pytest.mark.parametrize("final_norm", ["batch", "layer"])
@pytest.mark.parametrize("mlp_norm", [True, False])
def test_every_variant_of_the_network(form, residual, final_norm, mlp_norm):
    ann = tiny(
        1, attention=form, residual=residual, final_norm=final_norm, mlp_norm=mlp_norm
    ).double()
    masking = Masking(attention=0.25, mlp=0.25)
    run = mstlib.simulate(mstlib.convert(ann), IMAGES, 8, masking, 2)
    assert_same(run, plain_loop(ann, IMAGES, 8, masking, 2))


def test_the_networks_compared_are_alive():
    """Equal counts say little where nothing fires, or everything does."""
    for run in PLAIN.values():
        rates = run.firing_rates
        assert min(rates.values()) > (0 if run.masking else 0.005), min(rates, key=rates.get)
        assert max(rates.values()) < 0.9, max(rates, key=rates.get)
    assert len({str(run.spike_counts) for run in PLAIN.values()}) == len(PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize("masking", [None, Masking(attention=0.25)])
@pytest.mark.parametrize("name", ["mst-digits", "mst-scenes", "mst-cued-digits", "pure"])
def test_32_bit_numbers_change_next_to_nothing(name, masking):
    """Rounding moves a spike here and there, and turns an answer only where two classes tie.

    A step of 250 images has 250 answers; all steps together are enough to see 0.2 points.
    """
    if name == "pure":
        ann, images = tiny(attention="pure"), pictures(250)
        labels = ann(images).argmax(-1)
    else:
        ann = mstlib.load(name)
        images, labels = mstlib.data.load(name.removeprefix("mst-"), "test", 250)
    run = mstlib.simulate(mstlib.convert(ann), images, 8, masking)
    plain = plain_loop(ann, images, 8, masking)
    accuracy = plain.accuracy(labels)
    assert 0.05 < accuracy.mean() < 0.99
    assert abs(run.accuracy(labels) - accuracy).mean() <= 0.002
    for layer, spikes in plain.spike_counts.items():
        assert run.spike_counts[layer] == pytest.approx(spikes, rel=0.005)
    for mask, spikes in plain.delivered.items():
        assert run.delivered[mask] == pytest.approx(spikes, rel=0.005)


def test_the_plain_loop_leaves_the_network_as_it_is_and_can_do_without_counting():
    ann = NETWORKS["softmax"]
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    run = plain_loop(ann, IMAGES, STEPS, MASKINGS[1], 4, count=False)
    assert torch.equal(run.logits, PLAIN["softmax", 1].logits)
    assert run.delivered == PLAIN["softmax", 1].delivered
    assert run.neuron_counts == run.step_counts == {}
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    assert all(m.ratio == 0 for m in ann.modules() if isinstance(m, mstlib.masking.RandomSpikeMask))


@pytest.mark.parametrize("threshold", [39.0, 41.0, 100.0])
def test_a_softmax_of_large_scores_does_not_overflow(threshold):
    """e^θ leaves the range of 32 bits from θ = 89 on."""
    ann = tiny()
    for block in ann.blocks:
        block.attn.attn_if.threshold.data.fill_(threshold)
        block.attn.scores.scale *= threshold
    images = pictures(3)
    run, plain = mstlib.simulate(mstlib.convert(ann), images, 8), plain_loop(ann, images, 8)
    assert run.spike_counts["layers.0.blocks.0.attn.attn_if"] > 0
    assert bool(run.logits.isfinite().all())
    torch.testing.assert_close(run.logits, plain.logits, rtol=1e-3, atol=1e-3)


def test_the_plain_loop_refuses_what_it_cannot_run():
    with pytest.raises(ValueError, match="steps must be a whole number >= 1, not 0"):
        plain_loop(tiny(), pictures(1), 0)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\)"):
        plain_loop(tiny(), pictures(1, side=8), 1)
    with pytest.raises(ValueError, match="QCFS activations that have levels"):
        plain_loop(torch.nn.Flatten(), pictures(1), 1)
    relu = tiny()
    relu.head = torch.nn.Sequential(relu.head, mstlib.qcfs.QCFS(None))
    with pytest.raises(ValueError, match="QCFS activations that have levels"):
        plain_loop(relu, pictures(1), 1)


def peak(snn, images, steps, chunk=None):
    """Bytes that live tensors take at most, from the profiler's record of each that came or went.

    Not what the process holds: how much freed memory it keeps is the C library's mood.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        mstlib.simulate(snn, images, steps, chunk=chunk)
    changes = [
        e.nbytes() for e in record.profiler.kineto_results.events() if e.name() == "[memory]"
    ]
    assert min(changes) < 0
    return max(accumulate(changes))


def test_memory_does_not_grow_with_time():
    # Many tokens and few weights: what the memory holds is activations.
    snn = mstlib.convert(tiny(image_size=64, window=4, width=48, depths=(1,), heads=(3,)))
    images = pictures(16, side=64)
    mstlib.simulate(snn, images, 2)
    few, many, at_once = peak(snn, images, 32), peak(snn, images, 256), peak(snn, images, 32, 32)
    assert few > 20e6  # activations, and not the small change
    assert many == pytest.approx(few, rel=0.10)
    assert at_once > 2 * few  # were time not cut, this measurement would show it
