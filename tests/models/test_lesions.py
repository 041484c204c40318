"""Lesions: what they silence, and that they heal."""

import pytest
import torch
from tiny import perceptron, pictures, tiny

import mstlib
from mstlib.models.lesions import lesion


def outputs(model, images, last):
    """What every layer of that last name puts out, and the answer."""
    seen = []
    handles = [
        m.register_forward_hook(lambda _, __, out: seen.append(out))
        for n, m in model.named_modules()
        if n.split(".")[-1] == last
    ]
    with torch.no_grad():
        logits = model(images)
    for handle in handles:
        handle.remove()
    return torch.cat([out.flatten() for out in seen]), logits


@pytest.mark.parametrize(("kind", "last"), [("branch", "attn"), ("scores", "attn_if")])
def test_a_lesion_silences_its_layer_and_heals(kind, last):
    model, x = tiny(), pictures()
    before, logits = outputs(model, x, last)
    assert int((before != 0).sum()) > 100
    with lesion(model, kind):
        during, hurt = outputs(model, x, last)
    assert int((during != 0).sum()) == 0
    assert not torch.equal(hurt, logits)
    after, healed = outputs(model, x, last)
    assert torch.equal(after, before)
    assert torch.equal(healed, logits)


def test_without_scores_the_position_bias_and_the_values_still_speak():
    model, x = tiny(), pictures()
    with lesion(model, "scores"):
        without_scores, _ = outputs(model, x, "attn")
    assert int((without_scores != 0).sum()) > 100


def test_it_heals_after_an_error_too():
    model, x = tiny(), pictures()
    _, logits = outputs(model, x, "attn")
    with pytest.raises(RuntimeError, match="stop"), lesion(model, "branch"):
        raise RuntimeError("stop")
    assert torch.equal(outputs(model, x, "attn")[1], logits)


@pytest.mark.parametrize(("kind", "last"), [("branch", "proj_if"), ("scores", "attn_if")])
def test_it_holds_in_a_converted_network(kind, last):
    snn, x = mstlib.convert(tiny().double()), pictures().double()
    whole = mstlib.simulate(snn, x, 8)
    with lesion(snn, kind):
        hurt = mstlib.simulate(snn, x, 8)
    assert not torch.equal(hurt.logits, whole.logits)
    assert torch.equal(mstlib.simulate(snn, x, 8).logits, whole.logits)


def test_none_changes_nothing():
    model, x = tiny(), pictures()
    _, logits = outputs(model, x, "attn")
    with lesion(model, None):
        assert torch.equal(outputs(model, x, "attn")[1], logits)


def test_an_unknown_lesion_or_a_network_without_attention_is_named():
    with pytest.raises(ValueError, match=r"lesion must be None or one of .*branch.*scores.*'all'"):
        lesion(tiny(), "all").__enter__()
    with pytest.raises(ValueError, match="no layer 'attn' to silence"):
        lesion(perceptron(), "branch").__enter__()
