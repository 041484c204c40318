"""Count what one simulation does: spikes, operations and memory accesses, layer by layer.

    trace = operations.trace(snn, images, steps=64)
    trace.power()             # Eq. 10
    trace.energy(Costs())     # joules for one image, by what they are spent on

One *synaptic operation* is one addition that a spike causes. Behind a layer of weights each spike
that arrives causes one for each neuron it reaches, its *fan-out*. In a product of two matrices of
spikes there is one for each pair of spikes that meet. Where spikes meet real numbers (the weights
of a softmax times V) there is one for each number that is added. What arrives as real numbers is
not gated by spikes: it is multiplied, entry by entry, at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from mstlib.analysis.counting import Tally, counting, dense
from mstlib.convert import SpikingNetwork
from mstlib.energy import STEP_SECONDS, Costs, memory_energy
from mstlib.masking import Masking
from mstlib.models.layers import Product
from mstlib.models.watching import watching
from mstlib.simulate import Run, simulate


@dataclass(frozen=True)
class LayerCount:
    """What one layer did in a run, summed over steps and images.

    Attributes:
        name: Of the layer.
        kind: "linear", "conv", "product", or for work entry by entry "norm", "softmax", "sum" or
            "pool".
        arrives: "spikes", "real", "spikes × spikes", "real × spikes", "spikes × real", "real ×
            real"; "" for work entry by entry.
        spikes: Spikes that arrived, at all of its inputs.
        dense: Multiply–accumulates if nothing were known to be 0.
        synaptic: Synaptic operations.
        adds: Additions: the synaptic operations, or those entry by entry.
        macs: Multiply–accumulates of real numbers.
        fetches: Weights, or real numbers that take their place in a product, read from memory.
    """

    name: str
    kind: str
    arrives: str
    spikes: int
    dense: int
    synaptic: int
    adds: int
    macs: int
    fetches: int

    @classmethod
    def of(cls, tally: Tally) -> LayerCount:
        """Decide, now that all values have been seen, what was spikes and what was real."""
        if not tally.real:
            macs, adds = (times * tally.entries for times in tally.entrywise)
            return cls(tally.name, tally.kind, "", 0, 0, 0, adds, macs, 0)
        arrives = " × ".join("real" if real else "spikes" for real in tally.real)
        both = tally.kind == "product" and not any(tally.real)
        if all(tally.real):
            synaptic, macs, fetches = 0, tally.dense, tally.dense
        else:
            synaptic = tally.additions[2] if both else tally.additions[tally.real.index(False)]
            macs, fetches = 0, 0 if both else synaptic
        spikes = 0 if any(tally.real) and tally.kind != "product" else tally.spikes
        numbers = (spikes, tally.dense, synaptic, synaptic, macs, fetches)
        return cls(tally.name, tally.kind, arrives, *numbers)


@dataclass(frozen=True)
class Totals:
    """What a network does for one image in one step: all that an estimate of energy needs.

    Attributes:
        neurons: Of the network.
        emitted: Spikes.
        delivered: Those that no mask dropped.
        dense: Multiply–accumulates of the network in numbers.
        synaptic: Synaptic operations.
        adds: Additions, those included.
        macs: Multiply–accumulates of real numbers.
        fetches: Weights, or real numbers in their place, read from memory.
        entry_adds: Additions in layers that work entry by entry.
        entry_macs: Multiplications there.
    """

    neurons: float
    emitted: float
    delivered: float
    dense: float
    synaptic: float
    adds: float
    macs: float
    fetches: float
    entry_adds: float
    entry_macs: float

    def energy(
        self, steps: float, costs: Costs | None = None, memory: bool = True
    ) -> dict[str, float]:
        """Return the energy of one image over some steps, in joules, by what it is spent on.

        "multiply" and "add" are the account usual in the field. With memory come "weights" (each
        operation fetches its own), "states" (each neuron reads and writes its potential at each
        step) and "events" (each spike that is delivered).

        Args:
            steps: T.
            costs: Energy of each operation; `Costs()` by default.
            memory: Count what is moved, too.
        """
        costs = costs or Costs()
        spent = {"multiply": self.macs * costs.mac, "add": self.adds * costs.ac}
        if memory:
            spent |= {
                "weights": self.fetches * costs.weight,
                "states": self.neurons * 2 * costs.state,
                "events": self.delivered * costs.event,
            }
        return {part: steps * picojoules * 1e-12 for part, picojoules in spent.items()}

    def energy_of_numbers(
        self, costs: Costs | None = None, bits: int = 32, memory: bool = True
    ) -> dict[str, float]:
        """Return the energy of the same network in numbers, for one image, which takes one pass.

        Args:
            costs: Energy of each operation; `Costs()`, or `energy.whole_numbers(bits)`.
            bits: Of an activation: `energy.matched_bits(T)` says as much as T steps of spikes.
            memory: Count what is moved, too: "weights" as with spikes, one for each operation; no
                "states", because nothing is kept; and "events", each activation sent once.
        """
        costs = costs or Costs()
        spent = {
            "multiply": (self.dense + self.entry_macs) * costs.mac,
            "add": self.entry_adds * costs.ac,
        }
        if memory:
            sent = self.neurons * 2 * memory_energy(bits)
            spent |= {"weights": self.dense * costs.weight, "states": 0.0, "events": sent}
        return {part: picojoules * 1e-12 for part, picojoules in spent.items()}


@dataclass(frozen=True)
class Trace:
    """One simulation, and what was counted while it ran.

    Attributes:
        run: The simulation.
        layers: One `LayerCount` a layer, in order of execution.
        dropped: ``{mask: spikes}`` that were emitted and not passed on.
        readers: ``{mask: readers}``, how many layers read the spikes that reach a mask, where more
            than one does: each of them is then sent its share of a spike.
    """

    run: Run
    layers: tuple[LayerCount, ...]
    dropped: dict[str, int]
    readers: dict[str, int] = field(default_factory=dict)

    @property
    def neurons(self) -> int:
        """Neurons of the network."""
        return sum(len(counts) for counts in self.run.neuron_counts.values())

    @property
    def steps(self) -> float:
        """Steps of an average image: T, unless some stopped early."""
        return self.run.image_steps / self.run.images

    @property
    def emitted(self) -> float:
        """Spikes of one image in an average step."""
        return sum(self.run.spike_counts.values()) / self.run.image_steps

    @property
    def delivered(self) -> float:
        """Those of them that no mask dropped."""
        lost = sum(n / self.readers.get(mask, 1) for mask, n in self.dropped.items())
        return self.emitted - lost / self.run.image_steps

    def total(self, what: str) -> float:
        """Return a count over all layers, of one image in an average step.

        Args:
            what: Name of a number of `LayerCount`: ``"spikes"``, ``"dense"``, ``"synaptic"``,
                ``"adds"``, ``"macs"`` or ``"fetches"``. ``"dense"`` is also what a network of
                numbers does for one image.
        """
        return sum(getattr(layer, what) for layer in self.layers) / self.run.image_steps

    def share(self, what: str) -> dict[str, float]:
        """Return each layer's share of a count, by its name; see `total`."""
        whole = sum(getattr(layer, what) for layer in self.layers)
        return {layer.name: getattr(layer, what) / whole for layer in self.layers}

    def power(self, alpha: float = 1.0, spikes: str = "emitted", reading: str = "step") -> float:
        """Return the power of Eq. 10 in watts, for one image.

        Args:
            alpha: Energy of one spike, in joules.
            spikes: ``"emitted"``, or ``"delivered"`` for those that no mask dropped.
            reading: ``"step"`` totals the spikes of an average step, ``"run"`` those of all steps.

        Raises:
            ValueError: α is not positive, or another word than these.
        """
        if not alpha > 0:
            raise ValueError(f"alpha must be a positive energy in joules, not {alpha!r}")
        counts = {"emitted": self.emitted, "delivered": self.delivered}
        times = {"step": 1, "run": self.steps}
        for name, value, allowed in (("spikes", spikes, counts), ("reading", reading, times)):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {tuple(allowed)}, not {value!r}")
        return counts[spikes] * times[reading] / STEP_SECONDS * alpha

    def totals(self) -> Totals:
        """Return the counts of all layers together, of one image in an average step."""
        entrywise = [layer for layer in self.layers if not layer.dense]
        return Totals(
            neurons=self.neurons,
            emitted=self.emitted,
            delivered=self.delivered,
            dense=self.total("dense"),
            synaptic=self.total("synaptic"),
            adds=self.total("adds"),
            macs=self.total("macs"),
            fetches=self.total("fetches"),
            entry_adds=sum(layer.adds for layer in entrywise) / self.run.image_steps,
            entry_macs=sum(layer.macs for layer in entrywise) / self.run.image_steps,
        )

    def energy(self, costs: Costs | None = None, memory: bool = True) -> dict[str, float]:
        """Return the energy of one image over all its steps: see `Totals.energy`."""
        return self.totals().energy(self.steps, costs, memory)


def trace(
    snn: SpikingNetwork,
    images: Tensor,
    steps: int = 64,
    masking: Masking | None = None,
    seed: int = 0,
    **simulation: object,
) -> Trace:
    """Simulate a network and count what each of its layers does.

    Not seen: what is no module of the network (the mean over tokens before the head of a Swin is
    one addition for each entry), biases, and the neurons' own comparison.

    Args:
        snn: A converted network.
        images: ``(B, channels, height, width)``.
        steps: T.
        masking: Random spike masking; ``None`` for none.
        seed: Seed of the masks.
        simulation: Anything else that `mstlib.simulate` takes.

    Raises:
        ValueError: as `mstlib.simulate` does.
    """
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(f"trace takes a converted network, not {type(snn).__name__}: convert it")
    with counting(snn) as (tallies, dropped):
        run = simulate(snn, images, steps, masking, seed, **simulation)
    # Networks made by `mstlib.models.tracing` say who reads what; in a Swin each mask is alone.
    readers = {
        reader: len(those) for those in getattr(snn.net, "readers", {}).values() for reader in those
    }
    return Trace(run, tuple(map(LayerCount.of, tallies.values())), dropped, readers)


def dense_operations(network: nn.Module, images: Tensor) -> dict[str, int]:
    """Return the multiply–accumulates of each layer for one image, by its name.

    Args:
        network: Any network, trained or converted.
        images: ``(B, channels, height, width)``; their values do not matter.
    """
    counts: dict[str, int] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[name] = dense(module, inputs, output) // len(images)

    hooks = {
        module: partial(note, name)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | Product)
    }
    with torch.no_grad(), watching(hooks):
        network(images)
    return counts
