"""The energy explorer: what one image costs in spikes and in numbers, at prices to be chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import traitlets

from mstlib.analysis.operations import Totals
from mstlib.energy import Costs, matched_bits, memory_energy
from mstlib.explorers.base import Explorer, Name, Number, require, table

ARITHMETICS = ("floats", "whole numbers")
FORMS = ("spikes, unmasked", "spikes, masked", "numbers of b bits", "floats")
_EVENTS = ("Eq. 10, step", "Eq. 10, run", "delivered", "operations")
_COUNTS = tuple(field.name for field in fields(Totals))


class EnergyExplorer(Explorer):
    """Energy of one image: spikes with and without masks, the network in b bits, and in floats.

    The counts are those of one image in one step, so that T is free. Whole numbers have weights of
    8 bits; floats have 32. All settings are synced traits.

    Args:
        traces: ``{network: {mask ratio: counts}}``; ratios are texts such as ``"75 %"``, the first
            of which is the unmasked network; counts are `mstlib.analysis.operations.Totals`, or the
            same as a mapping. They are rounded to whole numbers.
        network: The network shown at first; by default the first.
        ratio: The mask ratio shown at first; by default the last of the network.
        steps: T, from 1 to 256.
        arithmetic: Of the spiking network, ``"floats"`` or ``"whole numbers"``.
        add: Picojoules of a 32-bit addition of whole numbers.
        multiply: Picojoules of an 8 × 8-bit multiplication.
        memory: Picojoules to move 64 bits; 0 counts operations only.

    Raises:
        traitlets.TraitError: a setting is outside its range, or the traces are not as above.
    """

    _view = "energy"

    traces = traitlets.Dict().tag(sync=True)
    network = Name("traces")
    ratio = traitlets.Unicode().tag(sync=True)
    steps = Number(32, 1, 256, whole=True)
    arithmetic = traitlets.Enum(ARITHMETICS, "whole numbers").tag(sync=True)
    add = Number(0.1, 0, 5)
    multiply = Number(0.2, 0, 5)
    memory = Number(10, 0, 200)

    def __init__(
        self,
        traces: Mapping[str, Mapping[str, Totals | Mapping[str, float]]],
        network: str | None = None,
        ratio: str | None = None,
        **settings: Any,
    ) -> None:
        network = next(iter(traces), "") if network is None else network
        if ratio is None and traces.get(network):
            ratio = list(traces[network])[-1]
        settings |= {} if ratio is None else {"ratio": ratio}
        super().__init__(traces=dict(traces), network=network, **settings)

    @traitlets.validate("traces")
    def _check_traces(self, proposal: dict) -> dict:
        whole = proposal["value"] and all(proposal["value"].values())
        require(whole, "traces must hold a network, and each of them a mask ratio")
        return {
            network: {ratio: _check_counts(network, ratio, c) for ratio, c in ratios.items()}
            for network, ratios in proposal["value"].items()
        }

    @traitlets.validate("ratio")
    def _check_ratio(self, proposal: dict) -> str:
        # One that only other networks have shows this one without masks.
        known = list({ratio: None for ratios in self.traces.values() for ratio in ratios})
        value = proposal["value"]
        require(not known or value in known, f"ratio must be among {known}, not {value!r}")
        return value

    @property
    def run(self) -> dict[str, float]:
        """The microjoules of one image in the four forms, at the present settings."""
        return self.energies(self.steps)

    def energies(self, steps: int, memory: bool = True) -> dict[str, float]:
        """Return the microjoules of one image in the four forms, after a number of steps.

        Args:
            steps: T.
            memory: Count what is moved, too.
        """
        ratios = {ratio: Totals(**c) for ratio, c in self.traces[self.network].items()}
        plain = next(iter(ratios.values()))
        masked = ratios.get(self.ratio, plain)
        bits = matched_bits(steps)
        spikes, numbers = self._costs(8 if self.arithmetic != "floats" else 0), self._costs(bits)
        moved = self.memory / memory_energy(64)
        parts = {
            "spikes, unmasked": plain.energy(steps, spikes, memory),
            "spikes, masked": masked.energy(steps, spikes, memory),
            "numbers of b bits": plain.energy_of_numbers(numbers, bits, memory),
            "floats": plain.energy_of_numbers(self._costs(0), 32, memory),
        }
        for name in FORMS[2:] if memory else ():  # `Totals` knows one price of memory only
            parts[name]["events"] *= moved
        return {name: 1e6 * sum(those.values()) for name, those in parts.items()}

    def accounts(self, steps: int) -> dict[str, dict[str, float | None]]:
        """Return every account of the trace for one image, by form; ``None`` where it has none.

        "Eq. 10, step" and "Eq. 10, run" are its two readings in millions of α watts; "delivered"
        are thousands of spikes in a step; "operations" are millions, of synaptic operations in all
        steps or of multiply–accumulates; "MAC + AC" and "+ memory" are microjoules.

        Args:
            steps: T.
        """
        ratios = {ratio: Totals(**c) for ratio, c in self.traces[self.network].items()}
        plain = next(iter(ratios.values()))
        of_spikes = [
            (c.emitted / 1e3, steps * c.emitted / 1e3, c.delivered / 1e3, steps * c.synaptic / 1e6)
            for c in (plain, ratios.get(self.ratio, plain))
        ]
        of_numbers = [(None, None, None, plain.dense / 1e6)] * 2
        found = {
            name: dict(zip(FORMS, row, strict=True))
            for name, *row in zip(_EVENTS, *of_spikes, *of_numbers, strict=True)
        }
        return found | {
            "MAC + AC": self.energies(steps, memory=False),
            "+ memory": self.energies(steps),
        }

    def cheapest(self) -> list[tuple[int, str]]:
        """Return which form is cheapest, as ``(first T, form)``, for T from 1 to 256."""
        turns: list[tuple[int, str]] = []
        for steps in range(1, 257):
            energies = self.energies(steps)
            best = min(energies, key=energies.get)
            if not turns or turns[-1][1] != best:
                turns.append((steps, best))
        return turns

    def _costs(self, bits: int) -> Costs:
        """Prices of whole numbers of some bits with weights of 8, or of floats (0 bits)."""
        word = self.memory / 2
        if bits == 0:
            return Costs(weight=word, state=word, event=word)
        return Costs(self.multiply * bits / 8 + self.add, self.add, word / 4, word, word)

    def fallback(self) -> str:
        """The four energies of the chosen network at several T, and every account at this T."""
        shown = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        columns = [self.energies(T) for T in shown]
        rows = [[name, *(f"{column[name]:.3g}" for column in columns)] for name in columns[0]]
        title = (
            f"{self.network}, masked {self.ratio}: energy of one image in µJ; "
            f"the spiking network computes with {self.arithmetic}"
        )
        energies = table(title, ["form", *(f"T = {T}" for T in shown)], rows)
        accounts = [
            [name, *("" if v is None else f"{v:.3g}" for v in row.values())]
            for name, row in self.accounts(self.steps).items()
        ]
        title = (
            f"Every account at T = {self.steps}: Eq. 10 in M α W, spikes delivered in a step in "
            "thousands, operations in millions, energies in µJ"
        )
        return energies + table(title, ["account", *FORMS], accounts)

    def __repr__(self) -> str:
        return f"EnergyExplorer({', '.join(self.traces)}; steps={self.steps})"


def _check_counts(network: str, ratio: str, counts: Totals | Mapping[str, float]) -> dict:
    counts = asdict(counts) if isinstance(counts, Totals) else dict(counts)
    where, has = f"{network!r} at {ratio}", list(counts)
    require(set(has) == set(_COUNTS), f"the counts of {where} must be {list(_COUNTS)}, not {has}")
    for name, value in counts.items():
        fits = math.isfinite(value) and value >= 0
        require(fits, f"{name} of {where} must be finite and >= 0, not {value}")
    return {name: round(counts[name]) for name in _COUNTS}
