"""The neuron explorer: one integrate-and-fire neuron under a constant current."""

from __future__ import annotations

import torch
import traitlets
from torch import Tensor

from mstlib.explorers.base import Explorer, Number, table
from mstlib.neurons import RESETS, integrate_and_fire


class NeuronExplorer(Explorer):
    """Membrane potential, spikes and firing rate of one neuron (Eq. 2 and 3).

    Every setting is a synced trait: assign to it to move the explorer, observe it to follow the
    reader.

    Args:
        current: Constant input of each step, from -0.2 to 1.5, in the units of the threshold.
        threshold: θ, from 0.5 to 2.
        reset: ``"soft"`` subtracts θ after a spike, ``"zero"`` goes back to 0.
        start: Potential before the first step as a fraction of θ, from 0 to 1.
        steps: T, from 1 to 128.
        time: The step the time cursor stands at; ``None`` is the end.

    Raises:
        traitlets.TraitError: a setting is outside its range.
    """

    _view = "neuron"

    current = Number(0.3, -0.2, 1.5)
    threshold = Number(1.0, 0.5, 2)
    reset = traitlets.Enum(RESETS, default_value="soft").tag(sync=True)
    start = Number(0.5, 0, 1)
    steps = Number(40, 1, 128, whole=True)
    time = Number(None, 0, 128, whole=True, optional=True)

    @property
    def run(self) -> tuple[Tensor, Tensor]:
        """Spikes and potentials at the present settings, ``(T,)`` each, in float64."""
        current = torch.full((self.steps,), self.current, dtype=torch.float64)
        v0 = self.start * self.threshold
        return integrate_and_fire(current, self.threshold, v0, self.reset)

    def fallback(self) -> str:
        """Spikes and rate of both resets at currents around the chosen one."""
        currents = sorted({-0.2, 0.1, 0.5, 0.9, 1.3, round(self.current, 6)})
        inputs = torch.tensor(currents, dtype=torch.float64).repeat(self.steps, 1)
        counts = {}
        for reset in RESETS:
            v0 = self.start * self.threshold
            spikes, _ = integrate_and_fire(inputs, self.threshold, v0, reset)
            counts[reset] = spikes.sum(0).long().tolist()
        rows = []
        for z, *fired in zip(currents, counts["soft"], counts["zero"], strict=True):
            rates = [(n, f"{self.threshold * n / self.steps:.3f}") for n in fired]
            rows.append([f"{z:g}", *rates[0], *rates[1]])
        return table(
            f"Spikes in {self.steps} steps of a neuron with θ = {self.threshold:g} that starts "
            f"at {self.start:g} θ",
            ["current", "spikes, soft reset", "θN/T", "spikes, reset to zero", "θN/T"],
            rows,
        )
