"""The shipped network of events: right, as good in spikes, and with an attention that matters."""

import json
from dataclasses import asdict

import pytest
import torch

import mstlib
from mstlib import data
from mstlib.checkpoints import WEIGHTS, manifest
from mstlib.lesions import lesion
from mstlib.train import RECIPES, accuracy

SPIKING = 150


@pytest.fixture(scope="module")
def events():
    return mstlib.load("mst-events"), *data.load("events-motion", n=1000)


def test_it_is_small_and_says_how_it_was_trained():
    assert (WEIGHTS / "mst-events.safetensors").stat().st_size <= 2e6
    recipe = json.loads(json.dumps(asdict(RECIPES["mst-events"])))
    assert manifest()["mst-events"]["recipe"] == recipe


def test_it_reduces_eight_frames_of_two_polarities_to_three_channels(events):
    model, images, _ = events
    assert model.input_shape == tuple(images.shape[1:]) == (16, 32, 32)
    assert model.reduction.conv.weight.shape == (3, 16, 3, 3)


def test_it_tells_the_motions_apart_and_so_do_its_spikes(events):
    model, images, labels = events
    assert accuracy(model, images, labels) >= 0.94
    x, y = images[:SPIKING], labels[:SPIKING]
    run = mstlib.simulate(mstlib.convert(model), x, 64)
    # At most a point below; its 64 steps say more than the 6 levels of QCFS do, so it is above.
    assert float(run.accuracy(y)[-1]) >= accuracy(model, x, y) - 0.01
    silent = {layer: share for layer, share in run.silent.items() if ".attn." in layer}
    assert max(silent.values()) <= 0.10, silent


@pytest.mark.parametrize(("kind", "cost"), [("branch", 0.7), ("scores", 0.35)])
def test_it_needs_its_attention(events, kind, cost):
    model, images, labels = events
    with lesion(model, kind):
        assert accuracy(model, images, labels) <= 0.95 - cost


def test_opposite_motions_look_alike_to_it_without_their_order(events):
    """The stacked frames of each recording in a random order."""
    model, images, labels = events
    frames = images.unflatten(1, (8, 2))
    order = torch.rand(1000, 8, generator=torch.Generator().manual_seed(0)).argsort(1)
    shuffled = frames[torch.arange(1000)[:, None], order].flatten(1, 2)
    assert accuracy(model, shuffled, labels) < 0.4
