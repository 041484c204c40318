"""The quantisation clip-floor-shift activation of Bu et al. (2022): a ReLU that counts spikes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mstlib.neurons import check_threshold


class _Floor(torch.autograd.Function):
    """Floor whose gradient is that of the identity (the straight-through estimator)."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad


def qcfs(x: Tensor, threshold: float | Tensor, levels: int, start: float | Tensor = 0.5) -> Tensor:
    """Quantise an activation to ``levels`` steps between 0 and θ (Bu et al. 2022).

    ``QCFS(x) = θ · clip(⌊x·L/θ + ½⌋ / L, 0, 1)``. This is θ times the firing rate that an
    integrate-and-fire neuron reaches after T = L steps of the constant input x from v = θ/2.
    The gradient passes through the floor as if it were the identity.

    Args:
        x: Pre-activation, any shape.
        threshold: θ > 0.
        levels: L ≥ 1, the number of steps above zero.
        start: The shift ½, which is v0/θ: a number, or a tensor shaped like x.

    Raises:
        ValueError: L < 1 or θ not positive.
    """
    if levels < 1:
        raise ValueError(f"levels must be a whole number >= 1, not {levels}")
    check_threshold(threshold)
    return threshold * (_Floor.apply(x * (levels / threshold) + start) / levels).clamp(0, 1)


class QCFS(nn.Module):
    """QCFS as a layer, with one trained threshold: becomes an ``IFNeuron`` when converted.

    Args:
        levels: L, the steps above zero. ``None`` is the limit of many levels, a ReLU (no upper
            clip): the first phase of training, before θ is known.
        threshold: θ > 0 at the start.

    Attributes:
        spread: In training, draw the shift of every activation uniformly from a range of this
            width around ½. At 1 the rounding is right on average only, as a spike count is that has
            a charge left over, and the network learns to live with counts that are off by one.
    """

    def __init__(self, levels: int | None = 8, threshold: float = 1.0) -> None:
        super().__init__()
        if levels is not None and levels < 1:
            raise ValueError(f"levels must be a whole number >= 1, or None, not {levels}")
        check_threshold(threshold)
        self.levels = levels
        self.spread = 0.0
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape; half-precision numbers come out as float32."""
        if self.levels is None:
            return x.relu()
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()  # rounded to 8 bits first, many would fall on the wrong side of the floor
        start: float | Tensor = 0.5
        if self.training and self.spread > 0:
            start = 0.5 + self.spread * (torch.rand_like(x) - 0.5)
        return qcfs(x, self.threshold, self.levels, start)

    def extra_repr(self) -> str:
        """Show L and θ."""
        return f"levels={self.levels}, threshold={float(self.threshold.detach()):.4g}"
