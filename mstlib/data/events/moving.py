"""Recordings made on demand: digits seen in saccades, and shapes told apart by their motion.

`events-digits` does to our digits what Orchard et al. (2015, Frontiers in Neuroscience 9, 437) did
to MNIST and Caltech101: the camera looks at a still picture and moves in three saccades of 100 ms,
along the sides of a triangle, back to where it began.

`events-motion` shows two shapes, one after the other, each for 48 ms on an empty ground. While one
of them moves, a small light blinks elsewhere: the class is how that shape moves. Shapes and light
are brighter or darker than the ground by chance; a shape appears in its first moments and is gone
in its last. Played backwards, such a film is one of the opposite motion and the opposite contrast,
and every pixel sends the same events in the reverse order (it begins and ends at the ground, so
that it crosses the same thresholds both ways). So nothing that forgets the order of the events,
neither their sum over time nor a heap of short slices, can tell opposites apart; and no part of the
sensor gives the answer away by itself, for the light and the shape must be joined by their time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np

from mstlib.data import digits
from mstlib.data.checks import SPLITS, check_count, check_seed, check_split, shuffled
from mstlib.data.events.camera import Camera, film_all
from mstlib.data.events.event import Recordings

SIZE = (32, 32)
CAMERA = Camera(threshold=0.25, mismatch=0.02, refractory=1000, noise=1.0)
MOTIONS = (
    "left",
    "right",
    "up",
    "down",
    "clockwise",
    "counter-clockwise",
    "growing",
    "shrinking",
)
OPPOSITES = ((0, 1), (2, 3), (4, 5), (6, 7))
"""The pairs of classes of `MOTIONS` that differ by the direction of time alone."""

BATCH = 250  # recordings of one random stream
_DRAWN = {"train": 8000, "test": 2000}

_MOTION_STEPS, _MOTION_INTERVAL = 12, 4000  # 48 ms for each of two shapes
_FADE = 2  # steps in which a shape appears, and in which it is gone
_BLINK = np.array([0, 0.5, 1, 0.5] * (_MOTION_STEPS // 4) + [0])
_LIGHT = 2  # half the side of the light, in pixels
_SACCADE_STEPS, _SACCADE_INTERVAL = 12, 100_000 / 12  # 100 ms a saccade
_TRIANGLE = np.array([[0, 0], [0.5, 1], [1, 0], [0, 0]])  # x and y, in units of the amplitude
_DIGIT_SCALE = 2.6  # pixels of the sensor for a pixel of a digit

# Convex shapes of radius 1 as four half-planes: the direction of each border and its distance.
_BORDERS = np.array([[0, 2 / 3, 4 / 3, 0], [0, 0.5, 1, 1.5], [0, 0.5, 1, 1.5]]) * np.pi
_REACH = np.array([[0.7, 0.7, 0.7, 0.7], [0.85, 0.85, 0.85, 0.85], [1.3, 0.5, 1.3, 0.5]])


def recordings(
    name: str, split: str = "test", n: int | None = None, seed: int | None = None
) -> Recordings:
    """Make recordings of one of the simulated sets.

    They come in batches of 250, each from a random stream of its own and kept in memory once made,
    so that fewer recordings of one seed are the first of more.

    Args:
        name: "events-digits" or "events-motion".
        split: "train" or "test".
        n: how many; None for 8000 (train) or 2000 (test) of events-motion, and for as many as
            there are digits in the split, 1250 or 547, of events-digits. More show the same
            digits again, seen otherwise.
        seed: other recordings of the same split; None means 0.

    Returns:
        The recordings, of a sensor of 32x32 pixels. The same on every machine: sines are rounded,
        and only single arithmetic steps follow.

    Raises:
        ValueError: unknown name or split, n below 1, negative seed.
    """
    if name not in SETS:
        raise ValueError(f"unknown simulated set {name!r}: choose one of {', '.join(SETS)}")
    check_split(split)
    seed = 0 if seed is None else check_seed(seed)
    classes, total, _ = SETS[name]
    n = total(split) if n is None else check_count(n)
    if name == "events-digits":
        _, of_digits = digits.originals(split)
        labels = of_digits[_digit_rows(split, seed, 0, n)]
    else:
        labels = np.concatenate([_motions(split, seed, b) for b in range(-(-n // BATCH))])[:n]
    return Recordings(
        lambda row: _batch(name, split, seed, row // BATCH)[row % BATCH], labels, classes, SIZE
    )


@lru_cache(maxsize=16)
def _batch(name: str, split: str, seed: int, batch: int) -> list[np.ndarray]:
    _, _, draw = SETS[name]
    rng = _stream(name, split, seed, batch)
    frames, interval = draw(rng, split, seed, batch)
    return film_all(frames, interval, CAMERA, tuple(rng.integers(2**32, size=BATCH).tolist()))


def _stream(name: str, split: str, seed: int, batch: int) -> np.random.Generator:
    tag = 10 + list(SETS).index(name)
    stream = np.random.SeedSequence([tag, SPLITS.index(split), batch, seed])
    return np.random.Generator(np.random.PCG64(stream))


# Saccades


def saccades(
    images: np.ndarray, start: np.ndarray, amplitude: np.ndarray, scale: float = 1.0
) -> tuple[np.ndarray, float]:
    """Move pictures over the sensor as three saccades do.

    Args:
        images: log intensities (N, h, w); beyond their border they go on as they end.
        start: where the middle of each picture lies on the sensor at first, and at the end,
            x and y in pixels (N, 2).
        amplitude: how far each goes, in pixels (N,).
        scale: pixels of the sensor for a pixel of the picture.

    Returns:
        Log intensities (N, F, 32, 32), by bilinear interpolation, and the microseconds from frame
        to frame: what `film_all` takes.
    """
    part = np.arange(_SACCADE_STEPS)[:, None] / _SACCADE_STEPS
    legs = [a + part * (b - a) for a, b in pairwise(_TRIANGLE)]
    path = np.concatenate([*legs, _TRIANGLE[-1:]])  # (F, 2)
    middle = start[:, None] + amplitude[:, None, None] * path
    (height, width), (rows, columns) = images.shape[1:], SIZE
    across = _tents(np.arange(columns), middle[..., 0], scale, width)  # (N, F, 32, w)
    down = _tents(np.arange(rows), middle[..., 1], scale, height)
    moved = down @ images[:, None] @ across.swapaxes(-1, -2)
    # Rounded, because the order of the sums in a matrix product is the machine's own.
    return moved.round(5), _SACCADE_INTERVAL


def _tents(pixels: np.ndarray, middle: np.ndarray, scale: float, length: int) -> np.ndarray:
    """Weights (N, F, pixels, length) of a picture's pixels in those of the sensor, bilinear."""
    place = (pixels + 0.5 - middle[..., None]) / scale + (length - 1) / 2
    place = place.clip(0, length - 1)
    return np.maximum(0, 1 - np.abs(place[..., None] - np.arange(length)))


def _digit_rows(split: str, seed: int, first: int, last: int) -> np.ndarray:
    """Say which digits of a split the recordings from `first` to `last` show."""
    total = len(digits.split_indices(split))
    return shuffled(total, seed)[np.arange(first, last) % total]


def _digits(
    rng: np.random.Generator, split: str, seed: int, batch: int
) -> tuple[np.ndarray, float]:
    images, _ = digits.originals(split)
    images = images[_digit_rows(split, seed, batch * BATCH, (batch + 1) * BATCH)]
    ink = np.pad(images / digits.MAX_INK, ((0, 0), (1, 1), (1, 1)))
    start = 16 + 4 * rng.random((BATCH, 2)) - [4.5, 4.5]
    return saccades(1.2 * ink, start, 4 + 3 * rng.random(BATCH), _DIGIT_SCALE)


# Motion


def _motions(split: str, seed: int, batch: int) -> np.ndarray:
    """Return the classes of a batch of motions, each equally often (to within one)."""
    order = np.argsort(_stream("events-motion", split, seed, batch).random(BATCH))
    return order % len(MOTIONS)


def _motion(
    rng: np.random.Generator, split: str, seed: int, batch: int
) -> tuple[np.ndarray, float]:
    labels = np.argsort(rng.random(BATCH)) % len(MOTIONS)  # those of `_motions`
    others = (labels + rng.integers(1, len(MOTIONS), BATCH)) % len(MOTIONS)
    # Two shapes and the light, each in another quarter of the sensor.
    quarter = np.argsort(rng.random((BATCH, 4)), axis=1)[:, :3]
    middle = 8 + 16 * np.stack([quarter % 2, quarter // 2], -1)
    middle = middle + 2 * (rng.random(middle.shape) - 0.5)
    meant = _shape(rng, labels, middle[:, 0]) + _light(rng, middle[:, 2])
    other = _shape(rng, others, middle[:, 1])
    late = (rng.random(BATCH) < 0.5)[:, None, None, None]
    first, second = np.where(late, other, meant), np.where(late, meant, other)
    return np.concatenate([first, second[:, 1:]], 1), _MOTION_INTERVAL  # both end at the ground


def _shape(rng: np.random.Generator, labels: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Draw moving shapes: log intensities over the ground, float32 (N, F, 32, 32)."""
    ink = _ink(rng.integers(len(_BORDERS), size=BATCH), *_paths(rng, labels, middle))
    step = np.arange(_MOTION_STEPS + 1)
    shown = np.minimum(step, step[::-1]).clip(max=_FADE) / _FADE
    return (_contrast(rng) * shown)[..., None, None].astype(np.float32) * ink


def _light(rng: np.random.Generator, middle: np.ndarray) -> np.ndarray:
    """Draw blinking squares: log intensities over the ground, float32 (N, F, 32, 32)."""
    near = np.abs(np.arange(SIZE[0]) + 0.5 - middle[..., None]) < _LIGHT
    square = near[:, 1, :, None] & near[:, 0, None, :]
    return (_contrast(rng) * _BLINK)[..., None, None].astype(np.float32) * square[:, None]


def _contrast(rng: np.random.Generator) -> np.ndarray:
    return ((0.8 + 0.6 * rng.random(BATCH)) * rng.choice([-1.0, 1.0], BATCH))[:, None]


def _paths(
    rng: np.random.Generator, labels: np.ndarray, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move shapes as their classes say: their middle (N, F, 2), angle (N, F), radius (N, F).

    Every path is drawn symmetrically about its own middle in time, so that a path played backwards
    is one of the opposite class, and as likely.
    """
    count = len(labels)
    time = np.linspace(-1, 1, _MOTION_STEPS + 1)
    u = rng.random((7, count, 1))
    heading = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    moves, turns, scales = labels < 4, labels // 2 == 2, labels // 2 == 3
    # A little of every motion in all, so that no stillness gives a class away.
    drift = 2 * (rng.random((count, 2)) - 0.5)
    travel = np.where(moves[:, None], heading[labels % 4] * (4 + 2 * u[0]), 0) + drift
    sign = np.where(labels % 2 == 0, 1, -1)[:, None]
    swing = np.where(turns[:, None], sign * (0.35 + 0.15 * u[1]), 0.1 * (u[2] - 0.5)) * np.pi
    growth = np.where(scales[:, None], sign * (0.4 + 0.2 * u[3]), 0.1 * (u[4] - 0.5))
    return (
        middle[:, None] + travel[:, None] * time[:, None],
        2 * np.pi * u[6] + swing * time,
        (3.5 + u[5]) * (1 + growth * time),
    )


def _ink(kind: np.ndarray, middle: np.ndarray, angle: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Draw shapes: how much of each pixel they cover, about, float32 (N, F, 32, 32)."""
    pixels = np.arange(SIZE[0]) + 0.5
    outside = None
    for border, reach in zip(_BORDERS.T, _REACH.T, strict=True):
        toward = angle + border[kind, None]
        x, y = np.cos(toward).round(6), np.sin(toward).round(6)
        across = x[..., None] * (pixels - middle[..., :1]) - (radius * reach[kind, None])[..., None]
        down = y[..., None] * (pixels - middle[..., 1:])
        beyond = (down[..., :, None] + across[..., None, :]).astype(np.float32)
        outside = beyond if outside is None else np.maximum(outside, beyond, out=outside)
    return np.clip(0.5 - outside, 0, 1, out=outside)


_Draw = Callable[[np.random.Generator, str, int, int], tuple[np.ndarray, float]]
SETS: dict[str, tuple[tuple[str, ...], Callable[[str], int], _Draw]] = {
    "events-digits": (digits.CLASSES, lambda split: len(digits.split_indices(split)), _digits),
    "events-motion": (MOTIONS, _DRAWN.__getitem__, _motion),
}
