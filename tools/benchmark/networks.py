"""The networks that are timed, and the images shown to them."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache

import torch
from torch import Tensor

import mstlib
from mstlib.models.layers import TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig, swin_tiny
from mstlib.train import calibrate, initialise

LEVELS = 16


def load(name: str, images: int) -> tuple[MaskedSpikingTransformer, Tensor]:
    """Return a network by its name, and so many images for it.

    Args:
        name: A shipped model, shown the test images of its data set; or "swin-t", the paper's
            full-size network with random weights at 224×224 pixels, or "swin-t small", the same at
            32×32, both shown noise.
        images: B.
    """
    ann = _network(name)
    if name not in mstlib.available():
        return ann, noise(images, ann)
    x, _ = mstlib.data.load(name.removeprefix("mst-"), "test")
    return ann, x.repeat(-(-images // len(x)), 1, 1, 1)[:images]


@cache  # nobody changes a network: all contestants copy it
def _network(name: str) -> MaskedSpikingTransformer:
    if name in mstlib.available():
        return mstlib.load(name)
    changes = {"swin-t": {}, "swin-t small": {"image_size": 32, "window": 4}}[name]
    return live(swin_tiny(**changes).config)


def noise(images: int, ann: MaskedSpikingTransformer, seed: int = 1) -> Tensor:
    """Return Gaussian images ``(B, channels, height, width)`` for a network."""
    return torch.randn(images, *ann.input_shape, generator=torch.Generator().manual_seed(seed))


def live(config: SwinConfig) -> MaskedSpikingTransformer:
    """Build a network with random weights whose neurons fire.

    Its norms take the statistics of a batch of noise, and its thresholds a high percentile of what
    the activations put out on it, as in the training of the shipped models.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskedSpikingTransformer(SwinConfig(**(asdict(config) | {"levels": None})))
        initialise(model)
        images = noise(4, model, seed=0)
        for module in model.modules():
            if isinstance(module, TokenNorm):
                module.momentum = 1.0  # keep the statistics of this batch alone
        with torch.no_grad():
            model.train()(images)
        calibrate(model, images, LEVELS)
    model.config = replace(model.config, levels=LEVELS)
    return model.eval()


def describe(name: str) -> dict[str, object]:
    """Return the size of a network and how much it fires, on two images for eight steps."""
    ann, images = load(name, 2)
    run = mstlib.simulate(mstlib.convert(ann), images, 8)
    neurons = sum(len(counts) for counts in run.neuron_counts.values())
    return {
        "image": list(ann.input_shape),
        "parameters": sum(p.numel() for p in ann.parameters()),
        "neurons": neurons,
        "firing_rate": sum(run.spike_counts.values()) / (neurons * run.steps * run.images),
        "quietest_layer": min(run.firing_rates.values()),
    }
