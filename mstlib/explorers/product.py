"""The product explorer: two spike trains, when they meet, and what the mean of that is worth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mstlib.explorers.base import Explorer, Number, table
from mstlib.neurons import integrate_and_fire


class Products(NamedTuple):
    """Two spike trains, and after each step the two means; ``(T,)`` each, in float64.

    Attributes:
        q: Spikes of the query neuron.
        k: Spikes of the key neuron.
        mean: Mean of the products q·k so far.
        wanted: Product of the means of q and of k so far.
    """

    q: Tensor
    k: Tensor
    mean: Tensor
    wanted: Tensor


class ProductExplorer(Explorer):
    """The mean product of two neurons' spikes against the product of their rates.

    Each neuron has threshold 1 and a constant current. Every setting is a synced trait.

    Args:
        rate_q: Current of the query neuron, from 0 to 1: its firing rate in the long run.
        rate_k: Current of the key neuron, likewise.
        start_q: Potential of the query neuron before the first step, from 0 to 1: its phase.
        start_k: Potential of the key neuron, likewise.
        steps: T, from 8 to 512.

    Raises:
        traitlets.TraitError: a setting is outside its range.
    """

    _view = "product"

    rate_q = Number(0.5, 0, 1)
    rate_k = Number(0.5, 0, 1)
    start_q = Number(0.5, 0, 1)
    start_k = Number(0.5, 0, 1)
    steps = Number(64, 8, 512, whole=True)

    @property
    def run(self) -> Products:
        """The two trains at the present settings, and what their products come to."""
        rates = torch.tensor([self.rate_q, self.rate_k], dtype=torch.float64)
        starts = torch.tensor([self.start_q, self.start_k], dtype=torch.float64)
        q, k = integrate_and_fire(rates.expand(self.steps, 2), 1.0, starts)[0].unbind(1)
        steps = torch.arange(1, self.steps + 1)
        wanted = q.cumsum(0) * k.cumsum(0) / steps**2
        return Products(q, k, (q * k).cumsum(0) / steps, wanted)

    def fallback(self) -> str:
        """Both means at a few numbers of steps up to T."""
        run, rows = self.run, []
        for steps in sorted({min(8 * 4**i, self.steps) for i in range(4)}):
            together, wanted = run.mean[steps - 1], run.wanted[steps - 1]
            rows.append([steps, *(f"{x + 0:.3f}" for x in (together, wanted, together - wanted))])
        return table(
            f"Two neurons with rates {self.rate_q:g} and {self.rate_k:g}, started at "
            f"{self.start_q:g} and {self.start_k:g}",
            ["steps T", "mean product", "product of means", "bias"],
            rows,
        )
