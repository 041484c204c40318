"""The architecture explorer: a walk through a network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Number, require, table
from mstlib.explorers.tensor import compact

KINDS = (
    "conv", "norm", "spike", "linear", "product", "softmax", "residual", "merge", "pool", "head",
)  # fmt: skip
SIGNALS = ("real", "scaled binary", "binary")
_REQUIRED = {"name", "kind", "shape", "signal"}
MASKS = ("attention", "mlp", "conv")
_OPTIONAL = {"stage", "block", "equation", "formula", "note", "rate", "mask", "tensor"}


class ArchitectureExplorer(Explorer):
    """Boxes for the layers of a network, in order, by stage and block; one is described in full.

    Both settings are synced traits: ``explorer.selected = 3`` opens the fourth layer.

    Args:
        walk: One mapping a layer, in the order of the computation. Each has ``name`` (dotted),
            ``kind`` (one of `KINDS`), ``shape`` (of its output) and ``signal`` (one of `SIGNALS`);
            and may have ``stage``, ``block``, ``equation`` (a number of the paper's, such as
            ``"7"``, or plain text), ``formula`` (what it computes; ``_q`` or ``_{in}`` is set below
            the line, ``^2`` above it), ``note``, ``rate`` (spikes a neuron and step, 0 to 1),
            ``mask`` (one of `MASKS`: where its spikes meet random masks) and ``tensor`` (its output
            for an image, as `mstlib.explorers.tensor.compact` takes it).
        selected: The index of the layer described.

    Raises:
        traitlets.TraitError: a layer is not as above; the message names the layer and the trouble.
    """

    _view = "architecture"

    walk = traitlets.List().tag(sync=True)
    selected = Number(0, 0, 10_000, whole=True)

    def __init__(self, walk: Sequence[Mapping[str, Any]], selected: int = 0, **widget: Any) -> None:
        super().__init__(walk=list(walk), selected=selected, **widget)

    @traitlets.validate("walk")
    def _check_walk(self, proposal: dict) -> list[dict[str, Any]]:
        require(proposal["value"], "walk must have at least one layer")
        return [_check_layer(k, layer) for k, layer in enumerate(proposal["value"])]

    @traitlets.validate("selected")
    def _check_selected(self, proposal: dict) -> int:
        last = len(self.walk) - 1
        # Traitlets checks in no fixed order; an empty walk has its own message.
        value = proposal["value"]
        require(not value > last >= 0, f"selected must be 0 to {last}, not {value}")
        return value

    def fallback(self) -> str:
        """The walk as a table."""
        rows = [
            [
                layer["name"],
                layer["kind"],
                " × ".join(map(str, layer["shape"])),
                layer["signal"],
                f"{layer['rate']:.3f}" if "rate" in layer else "",
                *(layer.get(key, "") for key in ("formula", "equation", "mask", "note")),
            ]
            for layer in self.walk
        ]
        head = ["layer", "kind", "shape", "signal", "firing rate", "formula", "equation", "masked"]
        return table(f"The {len(self.walk)} layers, in order", [*head, "note"], rows)

    def __repr__(self) -> str:
        return f"ArchitectureExplorer({len(self.walk)} layers, selected={self.selected})"


def _check_layer(index: int, layer: Mapping[str, Any]) -> dict[str, Any]:
    where = f"layer {index} of the walk"
    require(isinstance(layer, Mapping), f"{where} must be a mapping, not {layer!r}")
    missing, unknown = _REQUIRED - layer.keys(), layer.keys() - _REQUIRED - _OPTIONAL
    require(
        not missing and not unknown,
        f"{where} lacks {sorted(missing)} and has the unknown {sorted(unknown)}; "
        f"it needs {sorted(_REQUIRED)} and may have {sorted(_OPTIONAL)}",
    )
    for key, allowed in (("kind", KINDS), ("signal", SIGNALS)):
        require(layer[key] in allowed, f"{key} of {where} must be in {allowed}, not {layer[key]!r}")
    whole = all(isinstance(n, int) and n > 0 for n in layer["shape"])
    require(whole, f"shape of {where} must be whole numbers >= 1, not {layer['shape']!r}")
    # Left-out and empty entries look the same; a measured rate is rounded so that the stored page
    # does not change with the machine.
    checked = {key: value for key, value in layer.items() if value not in (None, "")}
    checked["shape"] = list(layer["shape"])
    mask = checked.get("mask", MASKS[0])
    require(mask in MASKS, f"mask of {where} must be in {MASKS}, not {mask!r}")
    if "tensor" in checked:
        checked["tensor"] = compact(f"tensor of {where}", checked["tensor"])
    if "rate" in checked:
        rate = checked["rate"]
        require(0 <= rate <= 1, f"rate of {where} must be 0 to 1, not {rate!r}")
        checked["rate"] = round(float(rate), 3)
    return checked
