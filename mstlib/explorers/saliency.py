"""The saliency explorer: where a network looks, by time, layer and masking, beside the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Number, table

THINGS = {"T": "target", "C": "cue", "D": "distractor", ".": "nothing"}
_TOP = 99  # a map is stored in whole numbers, its highest place as this


class SaliencyExplorer(Explorer):
    """Spike activation maps of several networks over time, beside Score-CAM and the true objects.

    Maps are stored in whole numbers from 0 to 99 relative to their highest place, so that a page
    made again on another machine is the same page. All settings are synced traits.

    Args:
        scenes: One mapping an image: ``pixels``, a string of three hexadecimal digits (red, green,
            blue) a pixel, row by row; ``truth``, a string of one letter a cell of the board, row by
            row (``T`` target, ``C`` cue, ``D`` distractor, ``.`` nothing); ``label``, the right
            answer in words.
        maps: ``{network: {layer: [image][time][place]}}``, places row by row, not negative.
        cam: ``{layer: [image][place]}``, Score-CAM of the network before conversion.
        right: ``{network: [image][time]}``, whether the answer after that step is right.
        times: The steps of the maps, increasing.
        network: The network shown at first; by default the first.
        layer: The layer shown at first; by default the first.
        image: Number of the image shown at first, from 1.
        time: Number of the time shown at first, from 0.

    Raises:
        traitlets.TraitError: the parts do not fit together; the message names the trouble.
    """

    _view = "saliency"

    scenes = traitlets.List().tag(sync=True)
    maps = traitlets.Dict().tag(sync=True)
    cam = traitlets.Dict().tag(sync=True)
    right = traitlets.Dict().tag(sync=True)
    times = traitlets.List().tag(sync=True)
    network = traitlets.Unicode().tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    image = Number(1, 1, 99, whole=True)
    time = Number(0, 0, 99, whole=True)

    def __init__(
        self,
        scenes: Sequence[Mapping[str, str]],
        maps: Mapping[str, Mapping[str, Sequence]],
        cam: Mapping[str, Sequence],
        right: Mapping[str, Sequence],
        times: Sequence[int],
        network: str | None = None,
        layer: str | None = None,
        image: int = 1,
        time: int = 0,
        **widget: Any,
    ) -> None:
        scenes = [_scene(number, scene) for number, scene in enumerate(scenes, start=1)]
        times = [int(t) for t in times]
        if not scenes or not times or not maps or times != sorted(set(times)) or times[0] < 1:
            raise traitlets.TraitError(
                "there must be an image, a network, and times that increase from 1 or more; got "
                f"{len(scenes)} images, {len(maps)} networks and times {times}"
            )
        layers = list(cam)
        checked, answers = {}, {}
        for name, its in maps.items():
            if list(its) != layers or name not in right:
                raise traitlets.TraitError(
                    f"{name!r} must have maps of the layers {layers}, and answers in `right`"
                )
            checked[name] = {
                layer: [
                    _wholes(f"{name}, {layer}", one, times)
                    for one in _long(f"{name}, {layer}", its[layer], scenes)
                ]
                for layer in layers
            }
            each = _long(name, right[name], scenes)
            answers[name] = [[bool(v) for v in _long(name, one, times)] for one in each]
        super().__init__(
            scenes=scenes,
            maps=checked,
            cam={k: _wholes(f"Score-CAM, {k}", v, scenes) for k, v in cam.items()},
            right=answers,
            times=times,
            network=next(iter(maps)) if network is None else network,
            layer=layers[0] if layer is None else layer,
            image=image,
            time=time,
            **widget,
        )

    @traitlets.validate("network", "layer", "image", "time")
    def _check_choice(self, proposal: dict) -> str | int:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = {
            "network": list(self.maps),
            "layer": list(self.cam),
            "image": range(1, len(self.scenes) + 1),
            "time": range(len(self.times)),
        }[name]
        if value not in allowed:
            raise traitlets.TraitError(f"{name} must be among {list(allowed)}, not {value!r}")
        return value

    def fallback(self) -> str:
        """What each map of the chosen image and layer gives to the target and to the cue."""
        index, truth = self.image - 1, self.scenes[self.image - 1]["truth"]

        def shares(m: list[int]) -> str:
            return ", ".join(f"{100 * share(m, truth, thing):.0f} %" for thing in "TC")

        rows = [
            [name, *(shares(m) for m in its[self.layer][index])] for name, its in self.maps.items()
        ]
        flat = ["Score-CAM, before conversion", shares(self.cam[self.layer][index])]
        return table(
            f"Share of the map of {self.layer} on target and cue, scene {self.image}",
            ["network", *(f"step {t}" for t in self.times)],
            [*rows, flat + ["" for _ in self.times[1:]]],
        )

    def __repr__(self) -> str:
        return (
            f"SaliencyExplorer({len(self.scenes)} scenes; {', '.join(self.maps)}; "
            f"network={self.network!r}, layer={self.layer!r}, image={self.image}, time={self.time})"
        )


def share(places: Sequence[float], truth: str, thing: str) -> float:
    """Return the part of a map's total that lies in the cells of one kind of thing.

    Args:
        places: A square map, row by row, of one or more places a cell.
        truth: A letter a cell, as in `SaliencyExplorer`.
        thing: The letter.
    """
    side, cells = math.isqrt(len(places)), math.isqrt(len(truth))
    inside = sum(
        value
        for k, value in enumerate(places)
        if truth[k // side * cells // side * cells + k % side * cells // side] == thing
    )
    return inside / (sum(places) or 1)


def _scene(number: int, scene: Mapping[str, str]) -> dict[str, str]:
    if set(scene) != {"pixels", "truth", "label"}:
        raise traitlets.TraitError(f"image {number} must have pixels, truth and label")
    size = math.isqrt(len(scene["pixels"]) // 3)
    if 3 * size * size != len(scene["pixels"]) or set(scene["pixels"]) - set("0123456789abcdef"):
        raise traitlets.TraitError(f"pixels of image {number}: three hexadecimal digits a pixel")
    if math.isqrt(len(scene["truth"])) ** 2 != len(scene["truth"]) or set(scene["truth"]) - set(
        THINGS
    ):
        raise traitlets.TraitError(f"truth of image {number}: a square of {''.join(THINGS)}")
    return dict(scene)


def _long(what: str, values: Sequence, wanted: Sequence) -> Sequence:
    if len(values) != len(wanted):
        raise traitlets.TraitError(f"{what}: {len(values)} entries where {len(wanted)} are needed")
    return values


def _wholes(what: str, maps: Sequence, wanted: Sequence) -> list[list[int]]:
    return [_whole(what, places) for places in _long(what, maps, wanted)]


def _whole(what: str, places: Sequence[float]) -> list[int]:
    places = [float(v) for v in places]
    if math.isqrt(len(places)) ** 2 != len(places) or not places:
        raise traitlets.TraitError(f"{what}: a map must be a square, not {len(places)} places")
    if not all(math.isfinite(v) and v >= 0 for v in places):
        raise traitlets.TraitError(f"{what}: a map must be finite and not negative")
    return [round(_TOP * v / (max(places) or 1)) for v in places]
