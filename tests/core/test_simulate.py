"""Simulation: the same result however it is cut, its record, its warnings and refusals."""

import copy
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import made_run
from tiny import perceptron, pictures, tiny

import mstlib
from mstlib import Masking
from mstlib.analysis.operations import trace
from mstlib.convert import SpikingNetwork
from mstlib.masking import RandomSpikeMask

MASKINGS = [
    None,
    Masking(attention=0.5),
    Masking(attention=0.75, mlp=0.25),
    Masking(mlp=0.5, blocks=(1,)),
]
NETWORKS = {form: mstlib.convert(tiny(attention=form).double()) for form in ("softmax", "pure")}
IMAGES = pictures(7).double()
STEPS = 12
WHOLE = {
    (form, i): mstlib.simulate(snn, IMAGES, STEPS, masking, seed=4)
    for form, snn in NETWORKS.items()
    for i, masking in enumerate(MASKINGS)
}


@settings(max_examples=25)
@given(
    st.sampled_from(list(NETWORKS)),
    st.sampled_from(range(len(MASKINGS))),
    st.integers(1, STEPS + 1),
    st.integers(1, len(IMAGES) + 1),
)
def test_cutting_time_or_images_changes_nothing(form, masking, chunk, batch_size):
    whole = WHOLE[form, masking]
    run = mstlib.simulate(
        NETWORKS[form], IMAGES, STEPS, MASKINGS[masking], 4, chunk=chunk, batch_size=batch_size
    )
    for t in range(1, STEPS + 1):
        assert torch.equal(run.predictions(t), whole.predictions(t))
    assert run.spike_counts == whole.spike_counts
    assert run.delivered == whole.delivered
    for name in whole.step_counts:
        assert torch.equal(run.step_counts[name], whole.step_counts[name])
        assert torch.equal(run.neuron_counts[name], whole.neuron_counts[name])
    torch.testing.assert_close(run.logits, whole.logits, atol=1e-9, rtol=0)


@settings(max_examples=10)
@given(st.sampled_from(list(WHOLE)), st.integers(1, STEPS))
def test_a_shorter_run_is_the_beginning_of_a_longer_one(which, steps):
    form, masking = which
    run = mstlib.simulate(NETWORKS[form], IMAGES, steps, MASKINGS[masking], seed=4)
    torch.testing.assert_close(run.logits, WHOLE[which].logits[:steps], atol=1e-9, rtol=0)


def test_nothing_is_left_from_one_run_to_the_next():
    snn = NETWORKS["softmax"]
    mstlib.simulate(snn, -IMAGES, 5, Masking(attention=0.9), seed=8)
    assert all(mask.ratio == 0 for mask in snn.masks.values())
    again = mstlib.simulate(snn, IMAGES, STEPS)
    assert torch.equal(again.logits, WHOLE["softmax", 0].logits)
    assert again.spike_counts == WHOLE["softmax", 0].spike_counts
    assert all(neuron.v is None for neuron in snn.neurons.values())


@pytest.mark.parametrize("form", NETWORKS)
def test_masking_at_zero_is_exactly_no_masking(form):
    run = mstlib.simulate(NETWORKS[form], IMAGES, STEPS, Masking(), seed=99)
    assert torch.equal(run.logits, WHOLE[form, 0].logits)
    assert run.delivered == {}


@pytest.mark.parametrize("form", NETWORKS)
def test_the_seed_decides_the_masks(form):
    masking = MASKINGS[1]
    same, other = (
        mstlib.simulate(NETWORKS[form], IMAGES, STEPS, masking, seed).logits for seed in (4, 5)
    )
    assert torch.equal(same, WHOLE[form, 1].logits)
    assert not torch.equal(other, same)


def test_masks_change_from_step_to_step():
    """With masks frozen in time a steady state would keep the same entries dropped for ever."""
    snn = NETWORKS["softmax"]
    layer = "layers.0.blocks.0.attn.q_mask"
    seen = []
    hook = snn.masks[layer].register_forward_hook(lambda m, x, out: seen.append((x[0], out)))
    mstlib.simulate(snn, IMAGES, 40, Masking(attention=0.5), chunk=40)
    hook.remove()
    sent, passed = (x.view(40, len(IMAGES), -1) != 0 for x in seen[0])
    assert torch.equal(passed, sent & passed)
    often = sent.sum(0) >= 20  # neurons with many spikes: none may lose all or none of them
    lost = (sent & ~passed).sum(0)[often]
    assert len(lost) > 20
    assert bool((lost > 0).all())
    assert bool((lost < sent.sum(0)[often]).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("masking", MASKINGS[:3])
def test_compiled_loops_do_what_the_tensor_operations_do(monkeypatch, masking, dtype):
    """Other devices than the processor take the tensor operations: the same, bit by bit."""
    snn, images = mstlib.convert(tiny().to(dtype)), pictures(5)
    compiled = mstlib.simulate(snn, images, STEPS, masking, seed=2)
    for module in (mstlib.neurons, mstlib.masking):
        monkeypatch.setattr(module, "compiled_for", lambda x: False)
    monkeypatch.setattr("mstlib.neurons.fire", None)
    monkeypatch.setattr("mstlib.masking.drop", None)
    tensors = mstlib.simulate(snn, images, STEPS, masking, seed=2)
    assert torch.equal(compiled.logits, tensors.logits)
    assert compiled.delivered == tensors.delivered
    for name in snn.neurons:
        assert torch.equal(compiled.neuron_counts[name], tensors.neuron_counts[name])
        assert torch.equal(compiled.step_counts[name], tensors.step_counts[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("masking", MASKINGS[:3])
@pytest.mark.parametrize("form", NETWORKS)
def test_a_gpu_gives_the_same_spikes(form, masking):
    i = MASKINGS.index(masking)
    run = mstlib.simulate(copy.deepcopy(NETWORKS[form]).cuda(), IMAGES, STEPS, masking, seed=4)
    assert run.spike_counts == WHOLE[form, i].spike_counts
    assert run.delivered == WHOLE[form, i].delivered
    assert torch.equal(run.predictions().cpu(), WHOLE[form, i].predictions())


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("masking", MASKINGS[:2])
def test_threads_change_nothing(two_threads, masking):
    """Batches are simulated side by side; float32, so that an order of sums would show."""
    snn, images, name = mstlib.convert(tiny()), pictures(7), "patch_embed.proj_if"
    run = mstlib.simulate(snn, images, STEPS, masking, 4, batch_size=2, record=[name])
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    alone = mstlib.simulate(snn, images, STEPS, masking, 4, batch_size=2, record=[name])
    assert torch.equal(run.logits, alone.logits)
    assert run.spike_counts == alone.spike_counts
    assert run.delivered == alone.delivered
    assert torch.equal(run.spikes[name], alone.spikes[name])
    assert all(neuron.v is None for neuron in snn.neurons.values())


def test_batches_are_worked_on_by_several_threads(two_threads, monkeypatch):
    seen = set()
    advance = SpikingNetwork.advance

    def noted(self, *arguments):
        seen.add((threading.get_ident(), id(self), torch.get_num_threads()))
        return advance(self, *arguments)

    monkeypatch.setattr(SpikingNetwork, "advance", noted)
    mstlib.simulate(NETWORKS["softmax"], IMAGES, 40, batch_size=1)
    with ThreadPoolExecutor(1) as pool:  # a thread that starts later takes what is set for all
        assert pool.submit(torch.get_num_threads).result() == 2
    assert len({thread for thread, _, _ in seen}) == 2
    assert len({network for _, network, _ in seen}) == 2
    assert {threads for _, _, threads in seen} == {1}


def test_a_watched_network_runs_its_batches_in_order(two_threads):
    """What a hook gathers would otherwise come in any order, and from copies."""
    snn, seen = NETWORKS["softmax"], []
    hook = snn.neurons["patch_embed.proj_if"].register_forward_hook(
        lambda m, x, out: seen.append((threading.get_ident(), (out != 0).sum().item()))
    )
    run = mstlib.simulate(snn, IMAGES, STEPS, chunk=STEPS, batch_size=2)
    hook.remove()
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    each = [
        mstlib.simulate(snn, IMAGES[i : i + 2], STEPS).spike_counts["patch_embed.proj_if"]
        for i in range(0, len(IMAGES), 2)
    ]
    assert [count for _, count in seen] == each
    assert sum(each) == run.spike_counts["patch_embed.proj_if"]


def test_a_replica_shares_weights_and_nothing_else():
    snn = NETWORKS["softmax"]
    replica = snn.replica()
    for mine, theirs in zip(snn.parameters(), replica.parameters(), strict=True):
        assert mine is theirs
    assert not set(snn.neurons.values()) & set(replica.neurons.values())
    assert set(replica.neurons.values()) <= set(replica.modules())
    assert set(replica.masks.values()) <= set(replica.modules())


def test_an_error_in_a_thread_reaches_the_caller(two_threads, monkeypatch):
    monkeypatch.setattr(SpikingNetwork, "advance", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mstlib.simulate(NETWORKS["softmax"], IMAGES, STEPS, batch_size=1)
    assert torch.get_num_threads() == 2
    assert all(mask.ratio == 0 for mask in NETWORKS["softmax"].masks.values())


def test_a_mask_leaves_the_spikes_of_others_alone():
    """In place only where nothing else reads: a mask that is not alone must copy."""
    mask = RandomSpikeMask("attention", block=0, site=0)
    mask.set(Masking(attention=0.5), seed=1)
    mask.begin(range(2), range(3))
    x = torch.ones(6, 50)
    passed = mask(x)
    assert bool((x == 1).all())
    assert 0 < passed.sum() < 300
    mask.in_place = True
    assert mask(x).data_ptr() == x.data_ptr()
    assert torch.equal(x, passed)


def test_recorded_spikes_are_those_counted():
    snn = NETWORKS["softmax"]
    names = ["patch_embed.proj_if", "layers.0.blocks.1.attn.attn_if"]
    run = mstlib.simulate(snn, IMAGES, STEPS, chunk=5, batch_size=3, record=names)
    assert list(run.spikes) == names
    for name in names:
        spikes = run.spikes[name]
        assert spikes.dtype == torch.bool
        assert spikes.shape[:2] == (STEPS, len(IMAGES))
        assert torch.equal(spikes.sum((0, 1)), run.neuron_counts[name])
        assert torch.equal(spikes.sum((1, 2)), run.step_counts[name])
    assert not any(n._forward_hooks for n in snn.neurons.values())
    with pytest.raises(ValueError, match=r"no spiking layer 'q_if'; there are: patch_embed\.proj"):
        mstlib.simulate(snn, IMAGES, 1, record=["q_if"])


def test_the_mean_of_many_steps_comes_near_the_qcfs_network():
    ann = tiny(attention="pure", levels=64)
    x = pictures(8)
    with torch.no_grad():
        target = ann(x)
    run = mstlib.simulate(mstlib.convert(ann), x, 128)
    error = [(run.logits[:t].mean(0) - target).pow(2).mean().sqrt() for t in (4, 32, 128)]
    assert error[0] > error[1] > error[2]
    assert error[2] < 0.15 * target.std()


def test_a_run_averages_over_its_first_steps():
    run = made_run()
    assert (run.steps, run.images) == (3, 2)
    assert run.predictions(1).tolist() == [0, 1]
    assert run.predictions(2).tolist() == [0, 1]
    assert run.predictions().tolist() == run.predictions(3).tolist() == [1, 1]
    assert run.accuracy(torch.tensor([0, 1])).tolist() == [1.0, 1.0, 0.5]
    assert run.spike_counts == {"a": 3, "b": 9}
    assert run.firing_rates == {"a": 3 / 12, "b": 9 / 18}
    assert run.silent == {"a": 0.5, "b": 0.0}
    for t in (0, -1, 4):
        with pytest.raises(ValueError, match=f"t must be between 1 and 3, not {t}"):
            run.predictions(t)
    with pytest.raises(ValueError, match=r"labels must be \(2,\), not \(3,\)"):
        run.accuracy(torch.zeros(3))


@pytest.mark.parametrize("name", ["steps", "batch_size", "chunk"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "8"])
def test_steps_are_whole_numbers_from_one_on(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, not {value!r}"):
        mstlib.simulate(NETWORKS["pure"], IMAGES, **{name: value})


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (pictures(2, channels=1), r"images must be (B, 3, 16, 16) with B >= 1, not (2, 1, 16, 16)"),
        (pictures(2, side=32), r"images must be (B, 3, 16, 16) with B >= 1, not (2, 3, 32, 32)"),
        (pictures(1)[0], r"images must be (B, 3, 16, 16) with B >= 1, not (3, 16, 16)"),
        (pictures(0), r"images must be (B, 3, 16, 16) with B >= 1, not (0, 3, 16, 16)"),
    ],
)
def test_images_of_the_wrong_shape_are_named(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        mstlib.simulate(NETWORKS["pure"], images, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_counted(value):
    images = pictures(3)
    images[1, 0, 3, 3] = value
    with pytest.raises(ValueError, match=r"NaN or infinite \(in 1 of 3\)"):
        mstlib.simulate(NETWORKS["pure"], images, 1)


def test_a_network_that_was_not_converted_is_refused():
    with pytest.raises(TypeError, match="takes a converted network, not MaskedSpikingTransformer"):
        mstlib.simulate(tiny(), pictures(), 1)


def test_masks_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"no 'mlp' masks \(it has: none\)"):
        mstlib.simulate(mstlib.convert(perceptron()), pictures(2, 0, 1, 4), 1, Masking(mlp=0.5))


@pytest.mark.parametrize(
    "used", [None, Masking(attention=0.5), Masking(attention=0.75, blocks=(0,))]
)
def test_a_masked_network_run_at_another_ratio_is_warned_about(used):
    ann = tiny()
    ann.trained_masking = Masking(attention=0.75)
    with pytest.warns(UserWarning, match="trained with") as caught:
        mstlib.simulate(mstlib.convert(ann), pictures(1), 1, used)
    (warning,) = caught
    assert str(Masking(attention=0.75)) in str(warning.message)
    assert str(used or Masking()) in str(warning.message)
    assert warning.filename == __file__


def test_no_warning_at_the_right_ratio_or_for_a_network_trained_without():
    ann = tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mstlib.simulate(mstlib.convert(ann), pictures(1), 1, Masking(attention=0.5))
        ann.trained_masking = Masking(attention=0.75)
        mstlib.simulate(mstlib.convert(ann), pictures(1), 1, Masking(attention=0.75))


@pytest.mark.parametrize("used", [None, Masking(attention=0.5)])
def test_whoever_means_another_ratio_is_not_warned(used):
    ann = tiny()
    ann.trained_masking = Masking(attention=0.75)
    snn = mstlib.convert(ann)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mstlib.simulate(snn, pictures(1), 1, used, as_trained=False)
        trace(snn, pictures(1), 1, used, as_trained=False)
    assert snn.trained_masking == Masking(attention=0.75)


# Films: another frame from time to time


def test_a_film_of_one_picture_is_the_picture():
    snn = NETWORKS["softmax"]
    film = IMAGES[:, None].expand(-1, 4, -1, -1, -1)
    run, whole = mstlib.simulate(snn, film, STEPS, MASKINGS[2], seed=4), WHOLE["softmax", 2]
    torch.testing.assert_close(run.logits, whole.logits, rtol=0, atol=1e-12)
    assert run.spike_counts == whole.spike_counts


def test_each_frame_of_a_film_is_shown_for_an_equal_part_of_the_steps():
    snn = NETWORKS["softmax"]
    film = torch.stack([IMAGES, IMAGES.flip(0), 0 * IMAGES], 1)
    run = mstlib.simulate(snn, film, STEPS, batch_size=3, chunk=5)
    snn.reset()
    shown = [snn.advance(film[:, t // 4], range(t, t + 1), range(7)) for t in range(STEPS)]
    torch.testing.assert_close(run.logits, torch.cat(shown), rtol=0, atol=1e-12)
    assert sum(run.spike_counts.values()) == sum(int(n.counts.sum()) for n in snn.neurons.values())
    snn.reset()


@pytest.mark.parametrize(
    ("film", "message"),
    [
        (IMAGES[:, None].expand(-1, 5, -1, -1, -1), "a multiple of the film's 5 frames.*got 12"),
        (IMAGES[:, None, :2], r"images must be \(B, 3, 16, 16\) with B >= 1, not \(7, 2, 16, 16\)"),
        (IMAGES[:, None] / 0, "NaN or infinite"),
    ],
)
def test_films_that_cannot_be_shown_are_named(film, message):
    with pytest.raises(ValueError, match=message):
        mstlib.simulate(NETWORKS["softmax"], film, STEPS)
