"""Cued digits: real handwritten digits on the board of `mstlib.data.board`."""

import numpy as np

from mstlib.data import board, digits

CLASSES = digits.CLASSES
TAG = 2


def draw(split: str, n: int, seed: int) -> board.Boards:
    """Draw n boards of handwritten digits, tinted in proportion to their ink.

    Boards for training and boards for testing use different handwritten digits, those of
    `digits.split_indices`. Arguments, result and errors are those of `board.draw`.
    """
    images, labels = digits.originals(split)
    by_class = np.argsort(labels, kind="stable")
    count = np.bincount(labels)
    first = np.cumsum(count) - count

    def ink(rng: np.random.Generator, objects: np.ndarray) -> np.ndarray:
        pick = (rng.random(objects.shape) * count[objects]).astype(np.int64)
        return images[by_class[first[objects] + pick]] / digits.MAX_INK

    return board.draw(ink, len(CLASSES), TAG, split, n, seed)
