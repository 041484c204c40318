"""The few layers that the networks need beside PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenNorm(nn.BatchNorm1d):
    """BatchNorm over the last axis: each channel of ``(..., C)`` over all images and tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape (Eq. 8)."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


class ReadoutNorm(nn.LayerNorm):
    """LayerNorm before the head, on real values at each time step, as the authors' code has it.

    No spike follows it, so a conversion can leave it in place; it is still not linear in time.
    """


class StepNorm(ReadoutNorm):
    """LayerNorm inside a network, computed anew at every time step from the spikes of that step.

    Spikes follow it, and their average is *not* what the trained network has there, at any T. It is
    here to be compared with BatchNorm (Fig. 3): conversion leaves it in place, because whoever
    builds a network with this class has asked for it; it refuses any other ``nn.LayerNorm``.
    """


class Product(nn.Module):
    """A matrix product of two activations, times a constant."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """``(..., n, k)`` times ``(..., k, m)``."""
        product = a @ b
        return product if self.scale == 1 else product.mul_(self.scale)


class RunningProduct(Product):
    """A product of two spike trains that remembers earlier steps: see `mstlib.analysis.products`.

    It works on a chunk of time at once, as an ``IFNeuron`` does: its inputs stack the steps along
    the first axis, ``(T·B·w, ...)`` with time outermost.

    Attributes:
        taken: Time steps since `reset`.
        state: What it remembers, tensors ``(B, w, ...)``; none before the first chunk.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(scale)
        self.expect(1, 1)
        self.reset()

    def reset(self) -> None:
        """Forget all earlier steps."""
        self.taken = 0
        self.state: list[Tensor] = []

    def expect(self, steps: int, images: int) -> None:
        """Say how the next inputs are stacked: their time steps and their images."""
        self.steps, self.images = steps, images

    def keep(self, images: Tensor) -> None:
        """Go on with some of the images only: those of a boolean ``(B,)``."""
        self.state = [x[images.to(x.device)] for x in self.state]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """``(T·B·w, ..., n, k)`` times ``(T·B·w, ..., k, m)``."""
        stacked = (self.steps, self.images, -1)
        outputs = []
        for now in zip(a.unflatten(0, stacked), b.unflatten(0, stacked), strict=True):
            self.taken += 1
            outputs.append(self.step(*now))
        return torch.stack(outputs).flatten(0, 2).mul_(self.scale)

    def step(self, a: Tensor, b: Tensor) -> Tensor:
        """Take one time step, ``(B, w, ..., n, k)`` and ``(B, w, ..., k, m)``."""
        raise NotImplementedError

    def smooth(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product of two averages over time, which needs no memory."""
        return super().forward(a, b)


class SpikeSoftmax(nn.Softmax):
    """Softmax over the last axis of attention scores with a position bias, where scores are spikes.

    A score a is then 0 or θ, so that exp(a + b) is one of two numbers, and the exponentials can be
    taken of the bias alone, once: exp(a + b) = exp(b)·(1 + a·(e^θ − 1)/θ), exactly.

    Args:
        bias: ``(w, heads, n, n)``, for each of the w windows of an image or one for all; −∞ between
            tokens that must not attend to each other.
        threshold: θ of the neurons that make the scores, below `LARGEST`.

    Attributes:
        binary: Whether scores are 0 or θ. If not, an ordinary softmax is taken.
    """

    LARGEST = 40.0  # e^θ and e^b must both have room in 32 bits

    def __init__(self, bias: Tensor, threshold: Tensor) -> None:
        super().__init__(-1)
        self.binary = True
        # The greatest of a row is taken off, as in any softmax: the ratio stays, none overflows.
        silent = (bias - bias.amax(-1, keepdim=True)).exp()
        self.register_buffer("bias", bias)
        self.register_buffer("silent", silent)
        self.register_buffer("gain", silent * (torch.expm1(threshold) / threshold))

    def forward(self, a: Tensor) -> Tensor:
        """``(B·w, heads, n, n)`` to the same shape."""
        if not self.binary:
            return self.smooth(a)
        weights = torch.addcmul(self.silent, self.gain, a.view(-1, *self.bias.shape))
        return weights.div_(weights.sum(-1, keepdim=True)).view(a.shape)

    def smooth(self, a: Tensor) -> Tensor:
        """Return the softmax of scores that may have any value."""
        return super().forward(a.view(-1, *self.bias.shape) + self.bias).view(a.shape)


class Sum(nn.Module):
    """A residual sum."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two tensors of one shape."""
        return a + b
