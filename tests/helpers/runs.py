"""A run written by hand."""

import torch

from mstlib.simulate import Run


def made_run():
    """Two images, three steps, two classes; layers of 2 and of 3 neurons."""
    first = [[5.0, 0.0], [0.0, 2.0], [0.0, 9.0]]  # its answer changes a step after the logits do
    second = [[0.0, 1.0]] * 3
    logits = torch.tensor([first, second]).transpose(0, 1)
    return Run(
        logits,
        {"a": torch.tensor([3, 0]), "b": torch.tensor([1, 6, 2])},
        {"a": torch.tensor([1, 1, 1]), "b": torch.tensor([4, 3, 2])},
        {},
    )
