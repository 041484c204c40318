"""The few layers that the networks need beside PyTorch's own."""

from __future__ import annotations

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


class Product(nn.Module):
    """A matrix product of two activations."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """``(..., n, k)`` times ``(..., k, m)``."""
        return a @ b


class Sum(nn.Module):
    """A residual sum."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two tensors of one shape."""
        return a + b
