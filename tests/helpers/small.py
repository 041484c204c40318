"""The smallest training there is, and whether two networks hold the same numbers."""

import torch
from tiny import SHAPE

from mstlib.train import Recipe

# 2 epochs of 3 batches of 32×32 digits, each part; a few thousand weights.
SMALL = Recipe(
    "digits",
    SHAPE | {"in_channels": 1, "image_size": 32, "patch_size": 8},
    relu_epochs=2,
    qcfs_epochs=2,
    images=24,
    batch_size=8,
)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
