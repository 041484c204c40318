"""BatchNorm over all processes of a training, on processors as well as on GPUs.

Each process of a training on many devices sees a part of the batch. With BatchNorm the parts must
not be normalised one by one: the smaller the part, the noisier its mean and its deviation.
PyTorch's own ``SyncBatchNorm`` works on GPUs only, so that nobody could try a training without
them; this one asks the process group for two sums, whatever the group runs on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from mstlib.models.layers import TokenNorm


class _Total(torch.autograd.Function):
    """The sum of a tensor over all processes.

    What one process puts in reaches the losses of all, so its gradient is the sum of theirs.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def setup_context(ctx: object, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return _Total.forward(grad)


class SharedNorm(TokenNorm):
    """`TokenNorm` whose statistics in training are those of the whole batch, over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape; half-precision numbers are normalised in float32."""
        if not self.training:
            return super().forward(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = wide.reshape(-1, x.shape[-1])
        n = len(rows) * distributed.get_world_size()  # every process has as many rows
        mean = _Total.apply(rows.sum(0)) / n
        apart = rows - mean  # two passes: E[x²] − E[x]² would lose digits
        variance = _Total.apply(apart.square().sum(0)) / n
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = self.momentum or 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_((variance * (n / (n - 1))).to(self.running_var), momentum)
        normal = apart * (variance + self.eps).rsqrt()
        return (normal * self.weight + self.bias).view(x.shape).to(x.dtype)


@contextmanager
def shared(model: nn.Module) -> Iterator[None]:
    """Let every `TokenNorm` of a network see all processes while a ``with`` block runs.

    Weights and statistics stay where they are, so the network is saved as one with plain norms. In
    a process on its own nothing changes.
    """
    alone = not distributed.is_initialized() or distributed.get_world_size() == 1
    norms = [] if alone else [m for m in model.modules() if type(m) is TokenNorm]
    for norm in norms:
        norm.__class__ = SharedNorm
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = TokenNorm
