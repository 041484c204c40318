"""What a run costs: the paper's power model (Eq. 10) on counted spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mstlib.simulate import Run

STEP_SECONDS = 1e-3  # "1 time-step takes 1 ms" (§4.3)


def power(run: Run, alpha: float = 1.0) -> float:
    """Return the power of Eq. 10, P = total spikes / 1 ms · α, in watts, for one image.

    The equation does not say over which time the spikes are totalled, while it divides by the
    1 ms of a single step. We read it *per step*: the spikes of one image in an average step. The
    other reading, all T steps over 1 ms, is T times as large and would make Table 3 of the paper a
    firing rate below 0.1 %.

    Args:
        run: A simulation.
        alpha: Energy of one spike, in joules; 1 gives the paper's unit, "α watts".

    Raises:
        ValueError: α is not positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be a positive energy in joules, not {alpha!r}")
    spikes_a_step = sum(run.spike_counts.values()) / run.image_steps
    return spikes_a_step / STEP_SECONDS * alpha


# Which part of the network a spiking layer belongs to, by the last piece of its name.
_MODULES = {
    "attention": ("q_if", "k_if", "v_if", "attn_if", "attn_v_if", "proj_if", "shortcut1_if"),
    "mlp": ("shortcut2_if", "fc1_if", "fc2_if"),
    "embedding": ("reduction_if",),
}


def spikes_by_module(run: Run) -> dict[str, int]:
    """Return the spikes emitted in attention, MLPs, and embedding (patches and merging).

    The node that turns a block's input into spikes is counted with what it feeds. Layers of other
    networks are gathered under "other".
    """
    totals: dict[str, int] = {}
    for name, spikes in run.spike_counts.items():
        last = name.split(".")[-1]
        module = next((m for m, nodes in _MODULES.items() if last in nodes), "other")
        if name.startswith("patch_embed."):
            module = "embedding"
        totals[module] = totals.get(module, 0) + spikes
    return totals
