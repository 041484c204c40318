"""Handwritten digits: the 1797 real images that come with scikit-learn.

Each is 8x8 pixels of 17 ink levels (0 to 16). They are the test part of the UCI set "Optical
Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998). The file does not say who wrote
which digit, so a writer can appear on both sides of our split.
"""

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mstlib.data.checks import check_split, shuffled

CLASSES = tuple("0123456789")
MAX_INK = 16
TRAIN_PER_CLASS = 125


@cache
def _read() -> tuple[np.ndarray, np.ndarray]:
    # The file is read directly: `import sklearn.datasets` takes seconds and we need one table.
    package = find_spec("sklearn")
    if package is None:
        raise ImportError("the digits come with scikit-learn, which is not installed")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[:, :64].reshape(-1, 8, 8), table[:, 64].astype(np.int64)


@cache
def split_indices(split: str) -> np.ndarray:
    """The rows of scikit-learn's table that belong to a split, in the order of the table.

    Of each class, 125 images drawn once and for all are for training (1250 in all) and the
    remaining 49 to 58 are for testing (547 in all).

    Args:
        split: "train" or "test".

    Returns:
        Row numbers, int64, (1250,) or (547,).

    Raises:
        ValueError: unknown split.
    """
    check_split(split)
    _, labels = _read()
    order = shuffled(len(labels), seed=0)
    train = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        train[order[labels[order] == digit][:TRAIN_PER_CLASS]] = True
    return np.flatnonzero(train == (split == "train"))


def originals(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The 8x8 digits of a split as they were stored.

    Args:
        split: "train" or "test".

    Returns:
        Ink levels 0 to 16, uint8 (N, 8, 8), and the digits they show, int64 (N,).

    Raises:
        ValueError: unknown split.
    """
    images, labels = _read()
    rows = split_indices(split)
    return images[rows], labels[rows]


def enlarged(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The digits of a split, enlarged to 32x32 by bilinear interpolation.

    Args:
        split: "train" or "test".

    Returns:
        Images in [0, 1], float32 (N, 1, 32, 32), and labels, int64 (N,).

    Raises:
        ValueError: unknown split.
    """
    images, labels = originals(split)
    ink = torch.from_numpy(images).float()[:, None] / MAX_INK
    ink = F.interpolate(ink, size=(32, 32), mode="bilinear", align_corners=False)
    return ink, torch.from_numpy(labels)
