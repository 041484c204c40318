"""What a network looks at: spike activation maps of a spiking network, Score-CAM of its original.

A *map* gives every token of an image a number: how much the network "looks" there. All maps here
are made by forward passes alone. What a map is worth, `mstlib.analysis.faithfulness` measures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mstlib.convert import SpikingNetwork
from mstlib.models.watching import watching
from mstlib.simulate import Run

GAMMA = 0.5  # per time step


def contributions(spikes: Tensor, gamma: float = GAMMA) -> Tensor:
    """Score each neuron by its earlier spikes, the near ones most: the neuronal contribution score.

    N(t) = Σ exp(−γ·(t − t')) over the steps t' < t at which the neuron fired, computed by the
    recursion N(t) = e^(−γ)·(N(t−1) + s(t−1)), N(first) = 0.

    Args:
        spikes: ``(T, ...)``, 0 or 1 (or bool).
        gamma: γ > 0, per time step: how fast a spike is forgotten.

    Returns:
        Scores ``(T, ...)``, float64.

    Raises:
        ValueError: γ is not positive and finite, there is no time step, or values are not 0 or 1.

    Source:
        Kim & Panda, Scientific Reports 11 (2021).
    """
    if not (gamma > 0 and math.isfinite(gamma)):
        raise ValueError(f"gamma must be positive and finite, not {gamma!r}")
    if spikes.ndim == 0 or len(spikes) == 0:
        raise ValueError(f"spikes must be (T, ...) with T >= 1, not {tuple(spikes.shape)}")
    if spikes.dtype != torch.bool and not bool(((spikes == 0) | (spikes == 1)).all()):
        raise ValueError("spikes must be 0 or 1; divide by the threshold first")
    spikes = spikes.double()
    scores = torch.zeros_like(spikes)
    for t in range(1, len(spikes)):
        torch.add(scores[t - 1], spikes[t - 1], out=scores[t])
        scores[t] *= math.exp(-gamma)
    return scores


def spike_activation_map(spikes: Tensor, gamma: float = GAMMA) -> Tensor:
    """Return the spike activation map at every step: Σ over channels of N(t)·s(t).

    Args:
        spikes: ``(T, ..., C)``, 0 or 1, channels last.
        gamma: See `contributions`.

    Returns:
        ``(T, ...)``, float64.

    Source:
        Kim & Panda, Scientific Reports 11 (2021).
    """
    return (contributions(spikes, gamma) * spikes).sum(-1)


def token_spikes(run: Run, snn: SpikingNetwork, layer: str) -> Tensor:
    """Lay the recorded spikes of a layer out on the map of its tokens.

    Args:
        run: A run that recorded the layer.
        snn: The network that was run, converted from `mstlib.models.swin`.
        layer: The layer's name, outside the attention (inside it, tokens stand in windows).

    Returns:
        bool ``(T, B, side, side, C)``.

    Raises:
        ValueError: the run did not record this layer, or the layer has no map of tokens.
    """
    if layer not in run.spikes:
        raise ValueError(f"the run recorded {sorted(run.spikes) or 'no layer'}, not {layer!r}")
    spikes = run.spikes[layer]
    side = _side(snn.net, layer)
    return spikes.unflatten(-1, (side, side, -1))


def _side(net: nn.Module, layer: str) -> int:
    """Return the side of a layer's token map."""
    config = getattr(net, "config", None)
    if config is None:
        raise ValueError(
            f"{type(net).__name__} has no tokens: maps are made for mstlib.models.swin"
        )
    if ".attn" in layer:
        raise ValueError(
            f"{layer!r} is inside an attention, where tokens are sorted by window and head; choose "
            "a layer outside, such as 'layers.1.blocks.1.mlp.fc2_if'"
        )
    stage = int(layer.split(".")[1]) if layer.startswith("layers.") else 0
    return config.tokens(stage + (".downsample" in layer))


@torch.no_grad()
def score_cam(
    ann: nn.Module, images: Tensor, classes: Tensor, layer: str, batch_size: int = 128
) -> Tensor:
    """Explain one class by the channels that, used as a mask on the image, keep its score up.

    Each channel's map A_k of the layer is enlarged to the image (bilinear) and scaled to [0, 1],
    H_k. Its weight is what the class gains over a blank image when only that part is shown:
    w_k = p(x∘H_k) − p(0), with p the softmax score. The map is ReLU(Σ_k w_k·A_k). Zero is the mean
    pixel, since images are normalised.

    Args:
        ann: A trained network of `mstlib.models.swin`, in evaluation mode.
        images: ``(B, channels, height, width)``, normalised.
        classes: ``(B,)``, the class to explain in each image.
        layer: Name of a layer whose output is a map of tokens, ``(B, N, C)``.
        batch_size: Masked images in one forward pass; bounds the memory.

    Returns:
        ``(B, side, side)``, ≥ 0.

    Raises:
        ValueError: classes do not match the images, or the layer does not exist or has no tokens.

    Source:
        Wang et al., CVPR Workshops 2020, with the token map in place of a convolution's output.
    """
    if classes.shape != (len(images),):
        raise ValueError(f"classes must be ({len(images)},), not {tuple(classes.shape)}")
    activations = activation(ann, images, layer)  # (B, side, side, C)
    side, channels = activations.shape[1], activations.shape[-1]
    blank = ann(torch.zeros_like(images[:1])).softmax(-1)[0]
    maps = []
    for image, label, a in zip(images, classes, activations.movedim(-1, 1), strict=True):
        masks = nn.functional.interpolate(a[:, None], image.shape[1:], mode="bilinear")
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        # A channel that is the same everywhere points nowhere: its mask is 0, its weight too.
        masks = torch.where(high > low, (masks - low) / (high - low).clamp(min=1e-12), 0)
        scores = [ann(image * some).softmax(-1)[:, label] for some in masks.split(batch_size)]
        weights = torch.cat(scores) - blank[label]
        maps.append((weights @ a.reshape(channels, -1)).relu().view(side, side))
    return torch.stack(maps)


@torch.no_grad()
def activation(ann: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Return what a layer of an (unconverted) network puts out, on the map of its tokens.

    Args:
        ann: A network of `mstlib.models.swin`.
        images: ``(B, channels, height, width)``, normalised.
        layer: The layer's name, outside the attention.

    Returns:
        ``(B, side, side, C)``.

    Raises:
        ValueError: the layer does not exist, or has no map of tokens.
    """
    side, modules = _side(ann, layer), dict(ann.named_modules())
    if layer not in modules:
        raise ValueError(f"no layer {layer!r} in this network")
    seen = []
    with watching({modules[layer]: lambda m, inputs, out: seen.append(out)}):
        ann(images)
    return seen[0].unflatten(1, (side, side))


# Maps that know nothing of any network, to be beaten.


def brightness(pixels: Tensor, side: int) -> Tensor:
    """Return the mean brightness of each patch: ``(B, channels, h, w)`` to ``(B, side, side)``."""
    return nn.functional.adaptive_avg_pool2d(pixels.mean(1), side)


def edges(pixels: Tensor, side: int) -> Tensor:
    """Return the mean size of the brightness gradient (Sobel) in each patch.

    Args:
        pixels: ``(B, channels, height, width)``.
        side: Side of the map.

    Returns:
        ``(B, side, side)``.
    """
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).to(pixels) / 8
    kernels = torch.stack([sobel, sobel.T])[:, None]
    padded = nn.functional.pad(pixels.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    gradient = nn.functional.conv2d(padded, kernels).norm(dim=1)
    return nn.functional.adaptive_avg_pool2d(gradient, side)


def centre(images: int, side: int) -> Tensor:
    """Return maps ``(images, side, side)`` that fall off from the middle, the same for all."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    return torch.exp(-(axis[:, None] ** 2 + axis**2)).expand(images, -1, -1)
