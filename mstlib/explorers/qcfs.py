"""The QCFS explorer: the quantised activation against the neuron that replaces it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mstlib.explorers.base import Explorer, Number, table
from mstlib.neurons import integrate_and_fire
from mstlib.qcfs import qcfs

_POINTS = 700  # as many as the view draws


class Stairs(NamedTuple):
    """QCFS and the neuron's output θN/T at the same inputs, ``(inputs,)`` each, in float64."""

    inputs: Tensor
    activation: Tensor
    rate: Tensor


class QCFSExplorer(Explorer):
    """The staircase of QCFS against θN/T of an integrate-and-fire neuron, over its input z.

    Every setting is a synced trait.

    Args:
        threshold: θ of both, from 0.5 to 2.
        levels: L of QCFS, from 1 to 32.
        steps: T of the neuron, from 1 to 64.
        start: Potential before the first step as a fraction of θ, from 0 to 1.

    Raises:
        traitlets.TraitError: a setting is outside its range.
    """

    _view = "qcfs"

    threshold = Number(1.0, 0.5, 2)
    levels = Number(8, 1, 32, whole=True)
    steps = Number(8, 1, 64, whole=True)
    start = Number(0.5, 0, 1)

    @property
    def run(self) -> Stairs:
        """Both staircases at the present settings, from θ/4 below zero to θ/4 above θ."""
        # Off the round numbers, where floats would decide whether a stair has been reached.
        place = (torch.arange(_POINTS, dtype=torch.float64) + 0.414) / _POINTS
        return self._stairs((1.5 * place - 0.25) * self.threshold)

    def _stairs(self, z: Tensor) -> Stairs:
        start = self.start * self.threshold
        spikes, _ = integrate_and_fire(z.expand(self.steps, -1), self.threshold, start)
        activation = qcfs(z, self.threshold, self.levels)
        return Stairs(z, activation, self.threshold * spikes.mean(0))

    def fallback(self) -> str:
        """Both outputs at a few inputs from below zero to above θ."""
        fractions = torch.tensor([-0.2, 0.13, 0.31, 0.49, 0.67, 0.85, 1.2], dtype=torch.float64)
        z, activation, rate = self._stairs(fractions * self.threshold)
        rows = [
            [f"{x:.3f}", f"{a:.3f}", f"{r:.3f}", f"{r - a:.3f}"]
            for x, a, r in zip(z.tolist(), activation.tolist(), rate.tolist(), strict=True)
        ]
        return table(
            f"QCFS with L = {self.levels} against a neuron after T = {self.steps} steps from "
            f"{self.start:g} θ, θ = {self.threshold:g}",
            ["input z", "QCFS", "neuron, θN/T", "difference"],
            rows,
        )
