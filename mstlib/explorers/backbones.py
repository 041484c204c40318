"""The explorer of masked networks: accuracy against the mask ratio, and spikes layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Name, Number, require, table

_SHARES = ("accuracy", "sd", "untuned")
_KEYS = {"ratio", *_SHARES, "layers", "emitted", "delivered"}


class BackbonesExplorer(Explorer):
    """Accuracy of masked students against the ratio, and the spikes of their layers.

    Numbers are rounded, so that a page made again on another machine is the same page. All settings
    are synced traits.

    Args:
        curves: ``{network: [{"ratio", "accuracy", "sd", "untuned", "layers", "emitted",
            "delivered"}, …]}`` with increasing ratios: accuracy of the student, its deviation over
            mask seeds and the accuracy of the teacher simply masked, all 0 to 1; names of the
            layers, and spikes of an image in a step that each emits and that are delivered.
        network: The network shown at first; by default the first.
        ratio: The mask ratio p, in [0, 1); the nearest one stored is shown.

    Raises:
        traitlets.TraitError: the curves are not as above, or the network is unknown.
    """

    _view = "backbones"

    curves = traitlets.Dict().tag(sync=True)
    network = Name("curves")
    ratio = Number(0.5, 0, 0.99)

    def __init__(self, curves: Mapping[str, Sequence[Mapping[str, Any]]], **settings: Any) -> None:
        super().__init__(curves=dict(curves), **settings)

    @traitlets.validate("curves")
    def _check_curves(self, proposal: dict) -> dict[str, list[dict]]:
        require(proposal["value"], "curves must hold at least one network")
        return {name: _check_curve(name, curve) for name, curve in proposal["value"].items()}

    def fallback(self) -> str:
        """A table for each network: accuracy and spikes at every ratio."""
        head = ["p", "student", "s.d.", "teacher, masked", "emitted a step", "delivered a step"]
        tables = []
        for name, curve in self.curves.items():
            rows = [
                [f"{row['ratio']:g}"]
                + [f"{row[key]:.3f}" for key in _SHARES]
                + [f"{sum(row[key]):.0f}" for key in ("emitted", "delivered")]
                for row in curve
            ]
            tables.append(table(f"{name}: accuracy and spikes by mask ratio", head, rows))
        return "".join(tables)

    def __repr__(self) -> str:
        return f"BackbonesExplorer({', '.join(self.curves)}; ratio={self.ratio})"


def _check_curve(name: str, curve: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    for row in curve:
        has, needed = sorted(row), sorted(_KEYS)
        require(has == needed, f"a row of {name!r} must have {needed}, not {has}")
    ratios = [row["ratio"] for row in curve]
    rising = ratios and ratios == sorted(set(ratios)) and all(0 <= p < 1 for p in ratios)
    require(rising, f"ratios of {name!r} must increase within [0, 1), not {ratios}")
    return [_check_row(f"{name!r} at {row['ratio']}", row) for row in curve]


def _check_row(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {"ratio": float(row["ratio"])}
    for key in _SHARES:
        checked[key] = round(float(row[key]), 4)
        require(0 <= checked[key] <= 1, f"{key} of {where} must be 0 to 1, not {row[key]}")
    checked["layers"] = [str(layer) for layer in row["layers"]]
    for key in ("emitted", "delivered"):
        values = [round(float(v), 1) for v in row[key]]
        each = len(values) == len(checked["layers"])
        require(each, f"{key} of {where} must have one number for each layer")
        counts = all(math.isfinite(v) and v >= 0 for v in values)
        require(counts, f"{key} of {where} must be finite and >= 0")
        checked[key] = values
    return checked
