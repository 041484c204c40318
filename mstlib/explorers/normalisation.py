"""The normalisation explorer: how a spiking layer's values are spread, under LN and under BN."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Number, require, table


class NormalisationExplorer(Explorer):
    """How the average postsynaptic potentials of a layer are spread, against its activations.

    Shares are rounded to four decimals and distances to five, so that a page made again on another
    machine is the same page. All settings are synced traits.

    Args:
        profiles: ``{norm: {layer: {"ann": [...], "snn": [[...], ...], "distance": [...]}}}``: the
            share of values at each level from 0 to θ in the trained network and, for each T, in the
            spiking one, and for each T the distance of the two in units of θ. Every norm has the
            same layers.
        steps: The T's, increasing.
        norm: The norm that stands first; by default the first. The others stand beside it.
        layer: The layer shown at first; by default the first.
        T: One of the steps; by default the last.

    Raises:
        traitlets.TraitError: the profiles are not as above, or a setting is not among them; the
            message names the trouble.
    """

    _view = "normalisation"

    profiles = traitlets.Dict().tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    norm = traitlets.Unicode().tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    T = Number(1, 1, 4096, whole=True)

    def __init__(
        self,
        profiles: Mapping[str, Mapping[str, Mapping[str, Any]]],
        steps: Sequence[int],
        norm: str | None = None,
        layer: str | None = None,
        T: int | None = None,
        **widget: Any,
    ) -> None:
        steps = [int(step) for step in steps]
        rising = steps and steps[0] >= 1 and steps == sorted(set(steps))
        require(rising, f"steps must increase from 1 or more, not {steps}")
        profiles = _check_profiles(profiles, len(steps))
        super().__init__(
            profiles=profiles,
            steps=steps,
            norm=next(iter(profiles)) if norm is None else norm,
            layer=next(iter(_layers(profiles))) if layer is None else layer,
            T=steps[-1] if T is None else T,
            **widget,
        )

    @traitlets.validate("norm", "layer", "T")
    def _check_choice(self, proposal: dict) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = {"norm": self.profiles, "layer": _layers(self.profiles), "T": self.steps}[name]
        require(value in allowed, f"{name} must be one of {list(allowed)}, not {value!r}")
        return value

    def fallback(self) -> str:
        """The distance of each layer at each T, a table for each norm."""
        return "".join(
            table(
                f"{norm}: distance between spiking and trained network, in units of θ",
                ["layer", *(f"T = {T}" for T in self.steps)],
                [[name, *(f"{d:.3f}" for d in one["distance"])] for name, one in layers.items()],
            )
            for norm, layers in self.profiles.items()
        )

    def __repr__(self) -> str:
        return f"NormalisationExplorer({', '.join(self.profiles)}; layer={self.layer!r})"


def _layers(profiles: Mapping[str, Mapping]) -> Mapping:
    """The layers of any of the norms: all have the same."""
    return next(iter(profiles.values()))


def _check_profiles(profiles: Mapping[str, Mapping], count: int) -> dict[str, dict[str, dict]]:
    some = profiles and all(profiles.values())
    require(some, "profiles must hold at least one norm with one layer")
    alike = len({tuple(layers) for layers in profiles.values()}) == 1
    require(alike, "every norm in profiles must have the same layers")
    return {
        norm: {
            name: _check_profile(f"{name!r} under {norm!r}", one, count)
            for name, one in layers.items()
        }
        for norm, layers in profiles.items()
    }


def _check_profile(where: str, one: Mapping[str, Any], count: int) -> dict[str, list]:
    has = sorted(one)
    require(
        has == ["ann", "distance", "snn"], f"{where} must have ann, snn and distance, not {has}"
    )
    ann = _shares(where, one["ann"])
    snn = [_shares(where, shares) for shares in one["snn"]]
    distance = [round(float(value), 5) for value in one["distance"]]
    require(
        len(snn) == len(distance) == count,
        f"{where} must have one row of snn and one distance for each of {count} steps",
    )
    alike = len(ann) >= 2 and all(len(shares) == len(ann) for shares in snn)
    require(alike, f"{where} must have the same levels, two or more, in every row")
    lengths = all(math.isfinite(value) and value >= 0 for value in distance)
    require(lengths, f"distances of {where} must be finite and >= 0")
    return {"ann": ann, "snn": snn, "distance": distance}


def _shares(where: str, values: Sequence[float]) -> list[float]:
    values = [round(float(value), 4) for value in values]
    whole = all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) <= 0.01
    require(whole, f"shares of {where} must lie in 0 to 1 and add up to 1")
    return values
