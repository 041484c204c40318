"""Augment frames of events geometrically: neuromorphic data augmentation, NDA.

After Li et al. (ECCV 2022, arXiv:2203.06145), which the paper uses (§4.2). A recording is flipped
left to right with probability one half; then M of four changes are drawn, each of a size that an
intensity N limits. All frames and both polarities of a recording are changed alike. Colours, which
image augmentation changes most, have no counterpart in events.

| change | size, drawn evenly | in the published code |
|---|---|---|
| roll | up to 1 + 2N pixels along x and y, leaving at one side, entering at the other | ±3 and ±5 |
| rotate | up to 15·N degrees | ±15 and ±30 |
| shear | x moves by up to 0.15·N of y | (up to ±15 and ±30 degrees) |
| cutout | a square of up to 8·N pixels a side is emptied | (not used) |

The published code draws M = 1 of the first three, with N = 1 for N-Caltech101 and N = 2 for
CIFAR10-DVS. Pixels are those of its frames of 48x48; on others they count in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

CHANGES = ("roll", "rotate", "shear", "cutout")
SIDE = 48  # of the frames that the sizes in pixels are given for


def nda(
    frames: Tensor,
    generator: torch.Generator,
    intensity: float = 1.0,
    number: int = 1,
    flip: bool = True,
    changes: Sequence[str] = CHANGES,
) -> Tensor:
    """Augment each recording of a batch in its own way.

    Classes must survive it: a flipped or turned letter, or a motion to the left, may be another.
    For `events-motion` there is ``flip=False, changes=("roll", "cutout")``.

    Args:
        frames: counts (B, ..., H, W), left as they are.
        generator: source of the random numbers.
        intensity: N, above 0.
        number: M, how many of `changes` are made to each recording, one after another.
        flip: whether to flip half of the recordings.
        changes: what to draw from.

    Returns:
        A new tensor of the same shape. Its pixels are pixels of `frames` (the nearest ones, where
        a change asks for places between them), or 0.

    Raises:
        ValueError: fewer than three dimensions, an intensity that is not above 0, an unknown
            change, or more changes than there are.
    """
    if frames.dim() < 3:
        raise ValueError(f"frames must be (B, ..., H, W), not {tuple(frames.shape)}")
    if not (isinstance(intensity, Real) and math.isfinite(intensity) and intensity > 0):
        raise ValueError(f"intensity must be a finite number above 0; got {intensity!r}")
    for change in changes:
        if change not in CHANGES:
            raise ValueError(f"unknown change {change!r}: choose from {', '.join(CHANGES)}")
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    if not whole or not 0 <= number <= len(changes):
        raise ValueError(f"number must be a whole number from 0 to {len(changes)}; got {number!r}")
    augmented = []
    for recording in frames:
        if flip and _uniform(generator) > 0:
            recording = recording.flip(-1)
        for chosen in torch.randperm(len(changes), generator=generator)[:number].tolist():
            recording = _change(recording, changes[chosen], intensity, generator)
        augmented.append(recording)
    return torch.stack(augmented)


def _change(frames: Tensor, kind: str, intensity: float, generator: torch.Generator) -> Tensor:
    """Make one change to the frames (..., H, W) of one recording."""
    height, width = frames.shape[-2:]
    u = _uniform(generator)
    if kind == "roll":
        reach = (1 + 2 * intensity) / SIDE
        across, down = round(u * reach * width), round(_uniform(generator) * reach * height)
        return frames.roll((down, across), (-2, -1))
    if kind == "rotate":
        angle = math.radians(15 * intensity * u)
        cos, sin = math.cos(angle), math.sin(angle)
        return _moved(frames, [[cos, -sin], [sin, cos]])
    if kind == "shear":
        return _moved(frames, [[1.0, 0.15 * intensity * u], [0.0, 1.0]])
    side = abs(u) * 8 * intensity / SIDE
    rows, columns = (_span(side * length, length, generator) for length in (height, width))
    emptied = frames.clone()
    emptied[..., rows, columns] = 0
    return emptied


def _moved(frames: Tensor, rows: list[list[float]]) -> Tensor:
    """Look for each pixel, counted from the middle in pixels, at where a 2x2 matrix sends it."""
    height, width = frames.shape[-2:]
    (a, b), (c, d) = rows
    # PyTorch counts from -1 to 1 whatever the lengths.
    matrix = [[[a, b * height / width, 0.0], [c * width / height, d, 0.0]]]
    flat = frames.reshape(1, -1, height, width)
    grid = affine_grid(torch.tensor(matrix).to(flat), list(flat.shape), align_corners=False)
    return grid_sample(flat, grid, mode="nearest", align_corners=False).view(frames.shape)


def _span(side: float, length: int, generator: torch.Generator) -> slice:
    """Place a square's side around a pixel drawn evenly; it may reach over the border."""
    middle = (_uniform(generator) + 1) / 2 * length
    first, last = round(middle - side / 2), round(middle + side / 2)
    return slice(max(first, 0), max(last, 0))


def _uniform(generator: torch.Generator) -> float:
    """Draw a number between -1 and 1."""
    return 2 * float(torch.rand((), generator=generator)) - 1
