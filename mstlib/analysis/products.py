"""What the two products of spiking attention may mean over time, on the same weights.

Attention multiplies twice: queries with keys, and weights with values. The paper multiplies the
spikes of one step with the spikes of the same step (Eq. 7). Its mean over time is then not the
product of the means, which is what the trained network has. Two other kinds get closer, and pay
with memory: they carry sums over time, numbers of many bits, so that what enters the product is no
longer a spike.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from mstlib.convert import SpikingNetwork
from mstlib.models.layers import Product, RunningProduct


class CumulativeProduct(RunningProduct):
    """The product of the running means: at step t, mean_{≤t}(a)·mean_{≤t}(b).

    It remembers two sums. Its own mean over time lags behind, because early steps gave rough
    answers that stay in the average.
    """

    def step(self, a: Tensor, b: Tensor) -> Tensor:
        """Take one time step, ``(B, w, ..., n, k)`` and ``(B, w, ..., k, m)``."""
        if not self.state:
            self.state = [torch.zeros_like(a), torch.zeros_like(b)]
        sums = [total.add_(x) for total, x in zip(self.state, (a, b), strict=True)]
        return (sums[0] / self.taken) @ (sums[1] / self.taken)


class ExactProduct(RunningProduct):
    """The product whose mean over the first t steps is mean_{≤t}(a)·mean_{≤t}(b), at every t.

    With the sums A(t) = Σa and B(t) = Σb, the part that step t adds to A·B is
    ``p(t) = A(t)·b(t) + a(t)·B(t−1)``: two products of sums with spikes, additions only. You et al.
    (2024) write the same identity with B(t) and subtract ``a(t)·b(t)``. What step t gives out is
    the change of t·(A·B/t²), so that the mean comes out right after every step.
    """

    def step(self, a: Tensor, b: Tensor) -> Tensor:
        """Take one time step, ``(B, w, ..., n, k)`` and ``(B, w, ..., k, m)``."""
        if not self.state:
            product = a.new_zeros(*a.shape[:-1], b.shape[-1])
            self.state = [torch.zeros_like(a), torch.zeros_like(b), product]
        sum_a, sum_b, product = self.state
        given = product / max(self.taken - 1, 1)
        sum_a += a
        product += sum_a @ b + a @ sum_b
        sum_b += b
        return product / self.taken - given


KINDS: dict[str, type[Product]] = {
    "step": Product,
    "cumulative": CumulativeProduct,
    "exact": ExactProduct,
}
PARTS = ("scores", "mix")


def with_products(snn: SpikingNetwork, kind: str, parts: Collection[str] = PARTS) -> SpikingNetwork:
    """Give the products of every attention another meaning over time; the weights stay.

    Args:
        snn: A converted network of `mstlib.models.swin`; it is left as it is.
        kind: ``"step"`` multiplies the spikes of each step (the paper), ``"cumulative"`` the
            running means, ``"exact"`` so that the mean of the products is the product of the means.
        parts: Which products: ``"scores"`` is Q·Kᵀ, ``"mix"`` the attention weights times V.

    Returns:
        A network that shares all weights with `snn`, for `mstlib.simulate`.

    Raises:
        TypeError: `snn` is not a converted network.
        ValueError: an unknown kind or part, or a network without attention.
    """
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(
            f"with_products takes a converted network, not {type(snn).__name__}: convert it"
        )
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {tuple(KINDS)}, not {kind!r}")
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"parts must be some of {PARTS}, not {part!r}")
    net = snn.replica().net
    places = [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, Product) and name.split(".")[-1] in PARTS
    ]
    if not places:
        raise ValueError("this network has no attention: no product to change")
    for name, product in places:
        if name.split(".")[-1] in parts:
            net.set_submodule(name, KINDS[kind](product.scale))
    return SpikingNetwork(net)
