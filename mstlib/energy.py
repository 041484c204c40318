"""What a run costs: the paper's power model (Eq. 10) on counted spikes, and prices of operations.

The prices are inputs, not results: no chip has them all. The defaults are those that the field
quotes, and what depends on them should be shown for more than one set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Protocol

from mstlib.models.sites import site_of

STEP_SECONDS = 1e-3  # "1 time-step takes 1 ms" (§4.3)

# From Horowitz (2014), 45 nm at 0.9 V, in picojoules.
_MULTIPLY_8, _ADD_32 = 0.2, 0.1  # whole numbers of 8 bits, of 32 bits
_SRAM_64 = 10.0  # 64 bits from a memory of 8 kB


class Counted(Protocol):
    """What was counted in a simulation: a `Run` of one, or a `Tally` of many."""

    @property
    def spike_counts(self) -> dict[str, int]:
        """Spikes emitted by each layer."""

    @property
    def image_steps(self) -> int:
        """Steps taken, summed over the images."""


def power(run: Counted, alpha: float = 1.0) -> float:
    """Return the power of Eq. 10, P = total spikes / 1 ms · α, in watts, for one image.

    The equation does not say over which time the spikes are totalled, while it divides by the
    1 ms of a single step. We read it *per step*: the spikes of one image in an average step. The
    other reading, all T steps over 1 ms, is T times as large and would make Table 3 of the paper a
    firing rate below 0.1 %.

    Args:
        run: What was counted.
        alpha: Energy of one spike, in joules; 1 gives the paper's unit, "α watts".

    Raises:
        ValueError: α is not positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be a positive energy in joules, not {alpha!r}")
    spikes_a_step = sum(run.spike_counts.values()) / run.image_steps
    return spikes_a_step / STEP_SECONDS * alpha


def spikes_by_module(run: Counted) -> dict[str, int]:
    """Return the spikes emitted in attention, MLPs, and embedding (reduction, patches, merging).

    The node that turns a block's input into spikes is counted with what it feeds. Layers of other
    networks are gathered under "other".
    """
    totals: dict[str, int] = {}
    for name, spikes in run.spike_counts.items():
        module = site_of(name).module
        totals[module] = totals.get(module, 0) + spikes
    return totals


@dataclass(frozen=True)
class Costs:
    """Energy of each operation, in picojoules.

    The defaults are 45 nm, 32-bit floating point (Horowitz 2014): 3.7 to multiply, 0.9 to add; and
    10 for 64 bits from a memory of 8 kB, thus 5 for 32 bits.

    Attributes:
        mac: A multiplication and the addition of its result.
        ac: An addition.
        weight: To fetch one weight.
        state: To read, or to write, one membrane potential.
        event: To send one spike: to write its address of 16 bits into a queue and read it again.

    Raises:
        ValueError: an energy is negative or not finite.
    """

    mac: float = 4.6
    ac: float = 0.9
    weight: float = 5.0
    state: float = 5.0
    event: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{field.name} must be a finite energy >= 0 in picojoules, not {value!r}"
                )


def whole_numbers(bits: int = 8, weight_bits: int = 8) -> Costs:
    """Return the costs of a chip that computes with whole numbers.

    A product of b and w bits costs 0.2 · b·w/64 pJ: a multiplier grows with both widths (Horowitz
    gives 0.2 for 8 × 8 bits and 3.1 for 32 × 32, which is 16 times as large: 3.2). Sums have 32
    bits, 0.1 pJ, as have membrane potentials.

    Args:
        bits: Of an activation that is no spike, b.
        weight_bits: Of a weight, w.

    Raises:
        ValueError: a width is not a whole number from 1 to 32.
    """
    for name, width in (("bits", bits), ("weight_bits", weight_bits)):
        if not isinstance(width, int) or not 1 <= width <= 32:
            raise ValueError(f"{name} must be a whole number from 1 to 32, not {width!r}")
    return Costs(
        mac=_MULTIPLY_8 * bits * weight_bits / 64 + _ADD_32,
        ac=_ADD_32,
        weight=memory_energy(weight_bits),
    )


def memory_energy(bits: int) -> float:
    """Return the picojoules to read or write some bits of a small memory (8 kB, 45 nm)."""
    return _SRAM_64 * bits / 64


def matched_bits(steps: int) -> int:
    """Return ⌈log₂(T+1)⌉, the bits that write the count of a neuron after T steps, 0 to T.

    A network of such numbers says in one pass what a spiking one says in T steps (Yan and others
    2024): it is the baseline that spikes have to beat.

    Raises:
        ValueError: no steps.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number >= 1, not {steps!r}")
    return steps.bit_length()
