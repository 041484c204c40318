"""Early exit: the rule, the choice of its margin, and a run that stops as the rule says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import pictures, tiny

import mstlib
from mstlib import Confidence, Masking
from mstlib.early_exit import choose, lead

SNN = mstlib.convert(tiny().double())
IMAGES = pictures(9).double()
STEPS = 14
WHOLE = mstlib.simulate(SNN, IMAGES, STEPS, record=["patch_embed.proj_if"])


def margin_between(every):
    """A margin that some images reach early and others late."""
    looks = [t for t in range(1, STEPS + 1) if t % every == 0]
    return float(lead(WHOLE.logits.cumsum(0)[torch.tensor(looks) - 1]).median())


def test_the_rule_on_numbers_made_by_hand():
    # Leads after each step: image 0: 1, 2, 3, 4; image 1: 3, 1, 4, 9.
    logits = torch.tensor(
        [[[1.0, 0], [0, 3.0]], [[1, 0], [2, 0]], [[1, 0], [0, 3]], [[1, 0], [0, 5]]]
    )
    assert Confidence(2.0, every=1).steps(logits).tolist() == [2, 1]
    assert Confidence(2.0, every=2).steps(logits).tolist() == [2, 4]
    assert Confidence(2.5, every=3).steps(logits).tolist() == [3, 3]
    assert Confidence(100.0, every=1).steps(logits).tolist() == [4, 4]
    assert lead(torch.tensor([[5.0, 1, 4], [-2, -2, -7]])).tolist() == [1.0, 0.0]


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, STEPS), st.integers(1, len(IMAGES)), st.floats(0.3, 3.0))
def test_a_run_stops_as_the_rule_says_of_the_whole_run(every, chunk, batch_size, factor):
    until = Confidence(margin_between(every) * factor, every)
    run = mstlib.simulate(SNN, IMAGES, STEPS, until=until, chunk=chunk, batch_size=batch_size)
    expected = until.steps(WHOLE.logits)
    assert torch.equal(run.taken, expected)
    assert run.image_steps == int(expected.sum())
    for image, taken in enumerate(expected.tolist()):
        torch.testing.assert_close(
            run.logits[:taken, image], WHOLE.logits[:taken, image], rtol=0, atol=1e-9
        )
        after, mean = run.logits[taken:, image], run.logits[:taken, image].mean(0)
        torch.testing.assert_close(after, mean.expand_as(after), rtol=0, atol=1e-12)
        answer = WHOLE.logits[:taken, image].sum(0).argmax()
        assert all(run.predictions(t)[image] == answer for t in range(taken, STEPS + 1))


def test_only_what_was_simulated_is_counted():
    name = "patch_embed.proj_if"
    until = Confidence(margin_between(3), every=3)
    run = mstlib.simulate(SNN, IMAGES, STEPS, until=until, record=[name])
    assert len(set(run.taken.tolist())) > 2, "the case does not try different exits"
    before = torch.arange(STEPS)[:, None] < run.taken
    assert torch.equal(run.spikes[name], WHOLE.spikes[name] & before[..., None])
    assert torch.equal(run.spikes[name].sum((0, 1)), run.neuron_counts[name])
    assert torch.equal(run.spikes[name].sum((1, 2)), run.step_counts[name])
    rate = run.spike_counts[name] / (run.neuron_counts[name].numel() * run.image_steps)
    assert run.firing_rates[name] == pytest.approx(rate)
    assert run.power() == pytest.approx(sum(run.spike_counts.values()) / run.image_steps * 1e3)


def test_masks_stay_those_of_their_image():
    """An image must meet the same masks whether or not its neighbours have left."""
    masking = Masking(attention=0.5, mlp=0.25)
    whole = mstlib.simulate(SNN, IMAGES, STEPS, masking, seed=3)
    until = Confidence(float(lead(whole.logits.cumsum(0)[5]).median()), every=2)
    run = mstlib.simulate(SNN, IMAGES, STEPS, masking, seed=3, until=until)
    assert torch.equal(run.taken, until.steps(whole.logits))
    assert len(set(run.taken.tolist())) > 1
    assert sum(run.delivered.values()) < sum(whole.delivered.values())


def test_counts_after_all_have_stopped_are_zero():
    run = mstlib.simulate(SNN, IMAGES, STEPS, until=Confidence(1e-6, every=2))
    assert run.taken.tolist() == [2] * len(IMAGES)
    assert all(c.shape == (STEPS,) and not c[2:].any() for c in run.step_counts.values())
    assert torch.equal(run.predictions(2), run.predictions(STEPS))


def test_the_chosen_margin_is_the_least_that_keeps_the_answers():
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (400,), generator=draw)
    signal = torch.nn.functional.one_hot(labels, 10) * 0.6
    logits = signal + torch.randn(32, 400, 10, generator=draw)
    right = float((logits.sum(0).argmax(-1) == labels).double().mean())

    def kept(margin, every):
        steps = Confidence(margin, every).steps(logits)
        answers = logits.cumsum(0).argmax(-1).gather(0, steps[None] - 1)[0]
        return float((answers == labels).double().mean())

    for every, lost in ((1, 0.0), (4, 0.01), (3, 0.05)):
        rule = choose(logits, labels, every, lost)
        assert kept(rule.margin, every) >= right - lost
        assert kept(rule.margin / 1.1, every) < right - lost
        assert rule.every == every
    assert choose(logits, labels, 4, 0.05).margin < choose(logits, labels, 4, 0.0).margin


def test_bad_rules_are_refused():
    for margin in (0, -1.0, float("nan"), float("inf"), "2"):
        with pytest.raises(ValueError, match="the margin must be finite and > 0"):
            Confidence(margin)
    with pytest.raises(ValueError, match="every must be a whole number >= 1, not 0"):
        Confidence(1.0, every=0)
    with pytest.raises(TypeError, match=r"until must be a Confidence or None, not 2\.0"):
        mstlib.simulate(SNN, IMAGES, 2, until=2.0)
    with pytest.raises(ValueError, match="two classes or more"):
        lead(torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"lost must be in \[0, 1\], not 2"):
        choose(WHOLE.logits, torch.zeros(9, dtype=torch.long), lost=2)
    with pytest.raises(ValueError, match=r"labels must be \(9,\), not \(8,\)"):
        choose(WHOLE.logits, torch.zeros(8, dtype=torch.long))
