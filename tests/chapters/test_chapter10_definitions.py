"""The plain definitions of chapter 10 give the same numbers as the library."""

import math

import torch
from reading import definition
from tiny import pictures, tiny

from mstlib.analysis import saliency

CHAPTER = "10_what_it_looks_at.ipynb"
LAYER = "layers.0.blocks.1.mlp.fc2_if"


def test_spike_activation_map():
    plain = definition(CHAPTER, "spike_activation_map", torch=torch, math=math)
    draw = torch.Generator().manual_seed(0)
    spikes = (torch.rand(20, 3, 4, 4, 6, generator=draw) < 0.3).double()
    for gamma in (0.1, 0.5, 2.0):
        torch.testing.assert_close(
            plain(spikes, gamma), saliency.spike_activation_map(spikes, gamma), rtol=1e-12, atol=0
        )


@torch.no_grad()
def test_score_cam():
    plain = definition(CHAPTER, "score_cam", torch=torch)
    ann, images = tiny().double(), pictures(3).double()
    classes = ann(images).argmax(-1)
    maps = saliency.score_cam(ann, images, classes, LAYER)
    activations = saliency.activation(ann, images, LAYER).movedim(-1, 1)
    assert (maps.amax((1, 2)) > 0).all()
    for k in range(3):
        torch.testing.assert_close(plain(ann, images[k], classes[k], activations[k]), maps[k])
