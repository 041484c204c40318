"""Stochastic depth: in training, let an image skip residual branches at random (Huang et al. 2016).

The network is left as it is: hooks wait at its residual sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from mstlib.models.layers import Sum
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.models.watching import watching


@contextmanager
def stochastic_depth(model: MaskedSpikingTransformer, probability: float) -> Iterator[None]:
    """Skip residual branches while a ``with`` block runs and the network is in training mode.

    Args:
        model: The network.
        probability: That an image skips a branch of the last block; it grows in equal steps from 0
            in the first. A branch that is not skipped is scaled up, so that the mean stays.
    """
    last = max(1, len(model.blocks) - 1)
    skipping = {
        sum_: _skipping(probability * i / last)
        for i, block in enumerate(model.blocks)
        for sum_ in (block.sum1, block.sum2)
        if i and probability
    }
    with watching(skipping, before=True):
        yield


def _skipping(probability: float) -> Callable[[Sum, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
    from timm.layers import drop_path

    def skip(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        stream, branch = inputs
        return stream, drop_path(branch, probability, module.training)

    return skip
