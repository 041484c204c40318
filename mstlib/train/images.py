"""The images of a training: drawn afresh for each epoch, a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from mstlib import data
from mstlib.data.events import moving
from mstlib.data.events.frames import summed
from mstlib.train.recipes import Recipe

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]


def batches_of(recipe: Recipe, seed: int) -> Batches:
    """Make the function that gives the batches of an epoch, a function of seed and epoch alone."""

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = draw(recipe, "train", recipe.images, image_seed(seed, epoch))
        for first in range(0, recipe.images - recipe.batch_size + 1, recipe.batch_size):
            batch = slice(first, first + recipe.batch_size)
            yield images[batch], labels[batch]

    return batches


def image_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's images."""
    return 1 + 10**7 * seed + epoch


def draw(recipe: Recipe, split: str, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw n training images: fresh boards, or a fixed set again and again, jittered.

    A network of two channels gets the frames of events summed up: one for each polarity.
    """
    if recipe.data != "digits":
        images, labels = data.load(recipe.data, split, n, seed=seed)
        if recipe.data in moving.SETS and recipe.model["in_channels"] == 2:
            images = summed(images.unflatten(1, (-1, 2)))
        return images, labels
    images, labels = data.load(recipe.data, split)
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(images), (n,), generator=generator)
    return jitter(images[pick], generator), labels[pick]


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, turn and scale images at random: up to 10 % of the side, 12 degrees and 12 %.

    Args:
        images: ``(B, channels, height, width)``.
        generator: Source of the random numbers.
    """
    b = len(images)
    u = torch.rand(4, b, generator=generator) * 2 - 1
    angle, scale = u[0] * torch.pi / 15, 1 + 0.12 * u[1]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    rows = torch.stack([cos, -sin, 0.2 * u[2], sin, cos, 0.2 * u[3]], 1).view(b, 2, 3)
    grid = nn.functional.affine_grid(rows, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
