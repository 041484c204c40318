"""What every data set does with split, n and seed: check them, and shuffle by them."""

from numbers import Integral

import numpy as np

SPLITS = ("train", "test")


def check_split(split: str) -> None:
    """Refuse a split other than "train" and "test".

    Raises:
        ValueError: names the splits that exist.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")


def check_count(n: int, available: int | None = None) -> int:
    """Return n as an int if it is a number of images that can be had.

    Args:
        n: how many images are asked for.
        available: how many there are; None for a set that never ends.

    Raises:
        ValueError: n is not a whole number, is below 1, or is more than there are.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be a whole number of images, at least 1; got {n!r}")
    if available is not None and n > available:
        raise ValueError(f"n must be at most {available}, the size of this split; got {n}")
    return int(n)


def check_size(size: int) -> int:
    """Return size if it can be the side of an image.

    Raises:
        ValueError: it is not a whole number of pixels, 1 or more.
    """
    if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
        raise ValueError(f"a size is a whole number of pixels >= 1, not {size!r}")
    return int(size)


def check_seed(seed: int) -> int:
    """Return seed as an int if it is a whole number, 0 or more.

    Raises:
        ValueError: it is anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be a whole number, 0 or more; got {seed!r}")
    return int(seed)


def shuffled(total: int, seed: int) -> np.ndarray:
    """The numbers 0 … total-1 in an order that depends on the seed alone, int64 (total,)."""
    return np.argsort(np.random.Generator(np.random.PCG64(seed)).random(total), kind="stable")
