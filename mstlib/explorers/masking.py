"""The mask-ratio explorer: what a mask costs, what it saves, and whether content still matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Name, Number, require, table

PLACES = ("attention", "mlp")
_POINT = ("ratio", "accuracy", "sd", "scores", "emitted", "delivered")


class MaskingExplorer(Explorer):
    """Accuracy, lesion and spikes of masked networks against the mask ratio.

    Numbers are rounded to four decimals. All settings are synced traits.

    Args:
        curves: ``{network: {"attention": [point, …], "mlp": [point, …]}}``; a point has ``ratio``
            (increasing from 0, the network without masks), ``accuracy`` and its standard deviation
            ``sd``, ``scores`` (accuracy with A = 0), and ``emitted`` and ``delivered``, spikes as
            shares of those that the network without masks emits.
        network: The network shown at first; by default the first.
        where: ``"attention"`` or ``"mlp"``.
        ratio: Mask ratio in [0, 1); the nearest one measured is shown.

    Raises:
        traitlets.TraitError: the curves are not as above, or the network or place is unknown; the
            message names what is wrong.
    """

    _view = "masking"

    curves = traitlets.Dict().tag(sync=True)
    network = Name("curves")
    where = traitlets.Enum(PLACES, "attention").tag(sync=True)
    ratio = Number(0.75, 0, 1)

    def __init__(
        self,
        curves: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
        **settings: Any,
    ) -> None:
        super().__init__(curves=dict(curves), **settings)

    @traitlets.validate("curves")
    def _check_curves(self, proposal: dict) -> dict[str, dict]:
        curves = proposal["value"]
        require(curves, "curves must hold at least one network")
        for name, places in curves.items():
            has = sorted(places)
            require(has == [*PLACES], f"the curves of {name!r} must be {[*PLACES]}, not {has}")
        return {
            name: {place: _check_points(f"{name!r}, {place}", places[place]) for place in PLACES}
            for name, places in curves.items()
        }

    def fallback(self) -> str:
        """A table for each network and place."""
        head = ["mask ratio", "accuracy", "± sd", "accuracy, A = 0", "emitted", "delivered"]
        return "".join(
            table(
                f"{name}, masks in the {place}; spikes as shares of the unmasked network's",
                head,
                [[f"{p['ratio']:g}", *(f"{p[k]:.3f}" for k in _POINT[1:])] for p in points],
            )
            for name, places in self.curves.items()
            for place, points in places.items()
        )

    def __repr__(self) -> str:
        return f"MaskingExplorer({', '.join(self.curves)}; {self.where} at {self.ratio:g})"


def _check_points(where: str, points: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    for point in points:
        has = sorted(point)
        require(has == sorted(_POINT), f"a point of {where} must have {list(_POINT)}, not {has}")
    rounded = [{name: round(float(point[name]), 4) for name in _POINT} for point in points]
    ratios = [point["ratio"] for point in rounded]
    rising = ratios == sorted(set(ratios)) and ratios[:1] == [0] and ratios[-1] < 1
    require(rising, f"ratios of {where} must increase from 0, below 1, not {ratios}")
    for point in rounded:
        for name, value in point.items():
            top = 1 if name in ("accuracy", "scores") else 10
            require(0 <= value <= top, f"{name} of {where} must be 0 to {top}, not {value}")
    return rounded
