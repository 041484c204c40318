"""The board: four coloured objects, and a cue that says which of them is meant.

A board is 32x32 pixels, a 4x4 grid of 8x8 cells on a dim noisy background. Four cells hold
objects of distinct classes and distinct colours; a fifth holds the cue, a swatch with a white
outline. The object in the swatch's colour is the target, and its class is the image's label:
no part of the image gives the answer away by itself, a reader must join two distant cells.

`scenes` puts geometric shapes on the board, `cued_digits` real handwritten digits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mstlib.data.checks import SPLITS, check_count, check_seed, check_split

COLOURS = {
    "red": (255, 40, 40),
    "green": (30, 225, 50),
    "blue": (60, 90, 255),
    "yellow": (255, 230, 20),
    "magenta": (250, 60, 240),
    "cyan": (20, 230, 245),
}
SIDE, GRID, CELL = 32, 4, 8
OBJECTS = 4
BATCH = 500  # boards per random stream

# Given a generator and the classes wanted, int64 (N, 4), returns ink in [0, 1], (N, 4, 8, 8).
Ink = Callable[[np.random.Generator, np.ndarray], np.ndarray]

_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
_SWATCH = np.zeros((CELL, CELL), dtype=bool)
_SWATCH[1:7, 1:7] = True
_FILL = np.zeros((CELL, CELL), dtype=bool)
_FILL[2:6, 2:6] = True


@dataclass(frozen=True)
class Boards:
    """Boards with everything that is known about them.

    Object 0 is the target, objects 1 to 3 are the distractors. A mask is exact: True on the
    pixels that the object draws on, however faintly, and nowhere else.

    Attributes:
        images: uint8 (N, 32, 32, 3).
        labels: class of the target, int64 (N,).
        target: mask of the target, bool (N, 32, 32).
        distractors: mask of the three other objects, bool (N, 32, 32).
        cue: mask of the swatch with its outline, bool (N, 32, 32).
        objects: class of each object, int64 (N, 4).
        colours: colour of each object, index into the keys of `COLOURS`, int64 (N, 4); the
            swatch has the colour of object 0.
        cells: cell of each object and then of the cue, int64 (N, 5), counted 0 to 15 along
            the rows.
    """

    images: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    distractors: np.ndarray
    cue: np.ndarray
    objects: np.ndarray
    colours: np.ndarray
    cells: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def draw(ink: Ink, classes: int, tag: int, split: str, n: int, seed: int) -> Boards:
    """Draw n boards.

    Boards come in batches of 500, each from a random stream of its own, so that fewer boards of
    one seed are the first of more. A full batch has every class equally often.

    Args:
        ink: draws the objects.
        classes: number of classes of objects.
        tag: number of this kind of board, so that two kinds share no stream.
        split: "train" or "test"; the two share no stream either.
        n: how many.
        seed: another seed gives other boards of the same kind.

    Returns:
        The boards. Only uniform draws of a PCG64 generator and single arithmetic steps enter,
        so that every machine makes the same.

    Raises:
        ValueError: unknown split, n below 1, negative seed.
    """
    check_split(split)
    n, seed = check_count(n), check_seed(seed)
    batches = []
    for batch in range(-(-n // BATCH)):
        stream = np.random.SeedSequence([tag, SPLITS.index(split), batch, seed])
        rng = np.random.Generator(np.random.PCG64(stream))
        batches.append(_batch(rng, ink, classes))
    fields = zip(*(vars(batch).values() for batch in batches), strict=True)
    return Boards(*(np.concatenate(parts)[:n] for parts in fields))


def background(rng: np.random.Generator) -> np.ndarray:
    """One batch of dim backgrounds: a tint, a slope in each colour, and noise.

    Returns:
        Float32 (500, 32, 32, 3) from 0 to 255, none above 115.
    """
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    tint = 15 + 40 * rng.random((BATCH, 1, 1, 3), dtype=np.float32)
    slope = 30 * rng.random((2, BATCH, 1, 1, 3), dtype=np.float32) - 15
    pixels = 60 * rng.random((BATCH, SIDE, SIDE, 3), dtype=np.float32) - 30
    pixels += tint + slope[0] * axis[:, None, None] + slope[1] * axis[:, None]
    return np.maximum(pixels, 0, out=pixels)


def _batch(rng: np.random.Generator, ink: Ink, classes: int) -> Boards:
    pixels = background(rng)
    labels = _shuffles(rng, 1, BATCH)[0] % classes

    # Sorting random keys gives distinct classes; the label's key is made the smallest.
    keys = rng.random((BATCH, classes))
    keys[np.arange(BATCH), labels] = -1
    objects = np.argsort(keys, axis=1)[:, :OBJECTS]
    colours = _shuffles(rng, BATCH, len(COLOURS))[:, :OBJECTS]
    cells = _shuffles(rng, BATCH, GRID * GRID)[:, : OBJECTS + 1]

    amount = ink(rng, objects).astype(np.float32)[..., None]
    brightness = 0.75 + 0.25 * rng.random((BATCH, OBJECTS, 1, 1, 1), dtype=np.float32)
    paint = brightness * _PALETTE[colours][:, :, None, None, :]

    # One axis for each of: board, cell row, row in the cell, cell column, column in the cell.
    canvas = pixels.reshape(BATCH, GRID, CELL, GRID, CELL, 3)
    masks = np.zeros((3, *canvas.shape[:-1]), dtype=bool)
    target, distractors, cue = masks

    def place(k: int) -> tuple:
        return np.arange(BATCH), cells[:, k] // GRID, slice(None), cells[:, k] % GRID

    for k in range(OBJECTS):
        under = canvas[place(k)]
        canvas[place(k)] = under + amount[:, k] * (paint[:, k] - under)
        (target if k == 0 else distractors)[place(k)] = amount[:, k, ..., 0] > 0
    swatch = canvas[place(OBJECTS)]
    swatch[:, _SWATCH] = 255
    swatch[:, _FILL] = _PALETTE[colours[:, 0], None]
    canvas[place(OBJECTS)] = swatch
    cue[place(OBJECTS)] = _SWATCH

    return Boards(
        np.rint(pixels).astype(np.uint8),
        labels,
        *masks.reshape(3, BATCH, SIDE, SIDE),
        objects,
        colours,
        cells,
    )


def _shuffles(rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
    """Return independent random orders of 0 … length-1, int64 (rows, length)."""
    return np.argsort(rng.random((rows, length)), axis=1)
