"""What a map of "where the network looks" is worth: tests against known masks and against answers.

A map is a claim. It can be held against the true places of the objects (`hits`, `energy`,
`overlap`), against another map (`agreement`), and against the network itself: if the highest places
matter, the answer must fall when they are deleted (`curves`). Each measure needs baselines beside
it; `mstlib.analysis.saliency` has maps that know nothing of any network.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.stats import rankdata
from torch import Tensor


def hits(maps: Tensor, masks: Tensor) -> Tensor:
    """Play the pointing game: is the highest place of each map inside the mask?

    Args:
        maps: ``(B, h, w)``. Where several places are highest, the share of them inside counts.
        masks: bool ``(B, h, w)``.

    Returns:
        ``(B,)``, 0 to 1.

    Raises:
        ValueError: shapes differ, or a map has values that are not finite.

    Source:
        Zhang et al., ECCV 2016.
    """
    _check(maps, masks)
    top = maps == maps.amax((1, 2), keepdim=True)
    return (top & masks).sum((1, 2)) / top.sum((1, 2)).double()


def energy(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's total that lies inside the mask.

    Args:
        maps: ``(B, h, w)``, not negative.
        masks: bool ``(B, h, w)``.

    Returns:
        ``(B,)``, 0 to 1; a map of zeros is everywhere alike: the share of the area.

    Raises:
        ValueError: shapes differ, or a map has values that are negative or not finite.

    Source:
        The energy-based pointing game of Wang et al., CVPR Workshops 2020.
    """
    _check(maps, masks)
    if bool((maps < 0).any()):
        raise ValueError("maps must not be negative: there is no share of a negative total")
    maps = maps.double()
    maps = torch.where(maps.sum((1, 2), keepdim=True) > 0, maps, 1)
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def overlap(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the intersection over union of a mask with as many of the map's highest places.

    Args:
        maps: ``(B, h, w)``.
        masks: bool ``(B, h, w)``.

    Returns:
        ``(B,)``, 0 to 1.

    Raises:
        ValueError: shapes differ, or a map has values that are not finite.
    """
    _check(maps, masks)
    values = []
    for m, mask in zip(maps.flatten(1), masks.flatten(1), strict=True):
        area = int(mask.sum())
        inside = int(mask[m.argsort(descending=True, stable=True)[:area]].sum())
        values.append(inside / (2 * area - inside) if area else 0.0)
    return torch.tensor(values, dtype=torch.float64)


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """Return Spearman's rank correlation of two maps of each image.

    Args:
        a: ``(B, h, w)``.
        b: ``(B, h, w)``.

    Returns:
        ``(B,)``, −1 to 1; 0 where a map is the same everywhere.

    Raises:
        ValueError: shapes differ, or a map has values that are not finite.
    """
    _check(a, b)
    ranks = [torch.from_numpy(rankdata(m.flatten(1).double(), axis=1)) for m in (a, b)]
    x, y = (r - r.mean(1, keepdim=True) for r in ranks)
    size = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(size > 0, (x * y).sum(1) / size.clamp(min=1e-12), 0)


def curves(
    score: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    points: int = 17,
) -> tuple[Tensor, Tensor]:
    """Delete an image patch by patch, the highest places of its map first; or build it up so.

    A good map makes the score of the class fall at once on deletion, and rise at once on
    insertion. Deleted patches take the mean pixel, 0 in a normalised image.

    Args:
        score: Gives for images ``(B, channels, height, width)`` and classes ``(B,)`` the
            probability of each image's class, ``(B,)``.
        images: Normalised.
        classes: ``(B,)``, whose score is followed.
        maps: ``(B, side, side)``; equal places are taken in the order of reading.
        points: Points on the curve, from the whole image to none of it.

    Returns:
        Deletion and insertion curves, ``(points, B)`` each, against the share of patches deleted
        or inserted, 0 to 1 in even steps.

    Raises:
        ValueError: fewer than two points, or maps that do not fit the images.

    Source:
        Petsiuk et al., BMVC 2018.
    """
    if points < 2:
        raise ValueError(f"a curve needs at least 2 points, not {points}")
    if len(maps) != len(images) or maps.ndim != 3 or images.shape[-1] % maps.shape[-1]:
        raise ValueError(f"maps {tuple(maps.shape)} do not fit images {tuple(images.shape)}")
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(1).view(maps.shape)  # 0 for the highest
    pixels = images.shape[-1] // maps.shape[-1]
    place = place.repeat_interleave(pixels, 1).repeat_interleave(pixels, 2)[:, None]
    deleted, inserted = [], []
    for share in torch.linspace(0, 1, points):
        taken = place < round(float(share) * order.shape[1])
        deleted.append(score(images * ~taken, classes))
        inserted.append(score(images * taken, classes))
    return torch.stack(deleted), torch.stack(inserted)


def area(curve: Tensor) -> Tensor:
    """Return the area under curves ``(points, B)`` over 0 … 1, by trapezoids: ``(B,)``."""
    return torch.trapezoid(curve.double(), dx=1 / (len(curve) - 1), dim=0)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean over images and its standard error.

    Args:
        values: One number an image, ``(B,)``.

    Raises:
        ValueError: fewer than two values.
    """
    values = values.double().flatten()
    if len(values) < 2:
        raise ValueError("a standard error needs at least two values")
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def _check(maps: Tensor, other: Tensor) -> None:
    if maps.ndim != 3 or maps.shape != other.shape:
        raise ValueError(
            f"both must be (B, h, w) and equal, not {tuple(maps.shape)} and {tuple(other.shape)}"
        )
    if not bool(maps.isfinite().all()):
        raise ValueError("a map holds values that are NaN or infinite")
