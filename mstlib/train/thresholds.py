"""Thresholds of QCFS: from the activations of ReLU, then learned, and always above zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mstlib.models.swin import WindowAttention
from mstlib.models.watching import watching
from mstlib.qcfs import QCFS


class Positive(nn.Module):
    """A positive number, learned through its logarithm, with an upper limit.

    A number that starts above the limit stays at it: there is no gradient beyond.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, log: Tensor) -> Tensor:
        """From the learned logarithm to the number."""
        return log.exp().clamp(max=self.limit)

    def right_inverse(self, value: Tensor) -> Tensor:
        """From the number to its logarithm."""
        return value.log()


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, levels: int, percentile: float = 99.0) -> None:
    """Turn ReLU activations into QCFS, with θ at a percentile of what each ReLU puts out.

    Args:
        model: A network whose `QCFS` have no levels yet.
        images: ``(B, channels, height, width)`` to measure on.
        levels: L to set.
        percentile: Between 0 and 100. The maximum (100) wastes levels on rare values; a low one
            clips common values.
    """
    nodes = activations(model)

    def measure(node: QCFS, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.flatten()
        rank = max(1, round(percentile / 100 * len(values)))
        node.threshold.fill_(max(float(values.kthvalue(rank).values), 1e-3))

    model.eval()
    with watching(dict.fromkeys(nodes, measure)):
        model(images)
    for node in nodes:
        node.levels = levels


@contextmanager
def positive_thresholds(model: nn.Module, score_cap: float) -> Iterator[None]:
    """Learn thresholds through their logarithm while a ``with`` block runs, so that θ > 0 holds.

    Args:
        model: The network.
        score_cap: Upper limit of the θ of attention scores that enter a softmax.
    """
    nodes = activations(model)
    attentions = [m for m in model.modules() if isinstance(m, WindowAttention)]
    capped = {m.attn_if for m in attentions if m.softmax is not None}
    for node in nodes:
        limit = Positive(score_cap if node in capped else float("inf"))
        parametrize.register_parametrization(node, "threshold", limit)
    try:
        yield
    finally:
        for node in nodes:
            parametrize.remove_parametrizations(node, "threshold", leave_parametrized=True)


def activations(model: nn.Module) -> list[QCFS]:
    """Return the QCFS activations of a network, in order."""
    return [m for m in model.modules() if isinstance(m, QCFS)]
