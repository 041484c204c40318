"""Linear layers by the quicker of PyTorch's two libraries for matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDNNLinear(nn.Linear):
    """A linear layer that PyTorch's other library for matrix products computes, oneDNN.

    The result is the same. On processors that are not Intel's, MKL, which PyTorch asks for its
    linear layers, leaves half of the vector unit unused. This is the operator that `torch.compile`
    puts in their place; where a version of PyTorch lacks it, MKL does the work.
    """

    @classmethod
    def of(cls, linear: nn.Linear) -> OneDNNLinear:
        """Make one that shares the weights of a linear layer."""
        new = nn.utils.skip_init(cls, linear.in_features, linear.out_features, bias=False)
        new.weight, new.bias = linear.weight, linear.bias
        return new.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
        if _ONEDNN and plain:
            product = torch.ops.mkldnn._linear_pointwise
            return product(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)
