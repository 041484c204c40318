"""The live explorer: one picture, one trained network, and the mask ratio in the reader's hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import traitlets

from mstlib.checkpoints import manifest
from mstlib.convert import SpikingNetwork
from mstlib.explorers import page
from mstlib.explorers.answers import Watched, picture, record, watch
from mstlib.explorers.base import STATIC, Explorer, Name, Number, module, require, table
from mstlib.masking import Masking
from mstlib.models.sites import layer_names
from mstlib.simulate import Run

# Measured by `mst study curves`.
CURVES = Path(__file__).parents[1] / "studies" / "results" / "curves.json"
PLACES = ("attention", "mlp")
REQUEST = (
    *("network", "picture", "drawing", "ratio", "mlp_ratio"),
    *("steps", "seed", "layer", "block"),
)


def _source(name: str) -> str:
    return (STATIC / f"{name}.js").read_text(encoding="utf-8")


class NetworkExplorer(Explorer):
    """A converted network at work on one picture, with and without masks.

    The view shows `answer`. In JupyterLab PyTorch computes it here, in float64, once a view is on
    the page and then whenever a setting changes; in the built book `mst_engine.js` does. Both run
    the same network, that of `mstlib.explorers.page.network`.

    All settings are synced traits:

        explorer.ratio = 0.5
        explorer.run.predictions()  # the same run, in PyTorch
        explorer.observe(print, names="ratio")

    Args:
        network: Name of a network, one of `names`.
        picture: Number of a test picture, from 0.
        drawing: A drawn digit to show in place of the picture, 64 ink levels as in
            `mstlib.explorers.page.drawn`; "" for none. Only for networks that read digits.
        ratio: Mask ratio in the attention, 0 to 0.95.
        mlp_ratio: Mask ratio in the MLPs, 0 to 0.95.
        steps: T, 1 to 64.
        seed: Seed of the masks, 0 to 999.
        layer: Name of the spiking layer whose spikes are shown.
        block: Number of the block whose attention and activation are mapped.
        time: Step under the cursor; ``None`` is the last.
        names: The networks to choose from: shipped ones that `mstlib.explorers.page` can run.

    Attributes:
        answer: What the view draws, see `mstlib.explorers.answers`; ``None`` until there is one.

    Raises:
        traitlets.TraitError: a setting is out of range; the message names it and what is allowed.
    """

    _esm = module("network", "\n".join(map(_source, ("mst_runs", "mst_canvas", "network"))))
    _view = "network"

    network = Name("networks")
    picture = Number(0, 0, page.PICTURES - 1, whole=True)
    drawing = traitlets.Unicode("").tag(sync=True)
    ratio = Number(0, 0, 0.95)
    mlp_ratio = Number(0, 0, 0.95)
    steps = Number(32, 1, 64, whole=True)
    seed = Number(0, 0, 999, whole=True)
    layer = Name("layers", "layers.0.blocks.0.attn.q_if")
    block = Number(3, 0, 3, whole=True)
    time = Number(None, 0, 64, whole=True, optional=True)
    networks = traitlets.Dict().tag(sync=True)
    layers = traitlets.List().tag(sync=True)
    answer = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)

    def __init__(
        self,
        network: str | None = None,
        *,
        names: Sequence[str] = page.MODELS,
        ratio: float = 0.5,
        **settings: Any,
    ) -> None:
        self._shown = False
        super().__init__(
            networks={name: offered(name) for name in names},
            layers=layer_names(_depths(next(iter(names), ""))),
            network=next(iter(names), "") if network is None else network,
            ratio=ratio,
            **settings,
        )
        self.on_msg(self._hear)
        self.observe(self._follow, names=list(REQUEST))

    @property
    def run(self) -> Run:
        """The simulation with masks, in PyTorch, for the present settings and seed."""
        return self._watched().run

    @property
    def unmasked(self) -> Run:
        """The same without masks."""
        return self._watched(ratio=0.0, mlp_ratio=0.0, seed=0).run

    def request(self) -> str:
        """The settings that an answer depends on, as JSON: the answer's key."""
        values = {name: getattr(self, name) for name in REQUEST}
        # JavaScript writes a whole number without a point.
        plain = {k: int(v) if isinstance(v, float) and v % 1 == 0 else v for k, v in values.items()}
        return json.dumps(plain, separators=(",", ":"))

    def compute(self) -> dict[str, object]:
        """Return the answer for the present settings."""
        pictures = page.pictures(self.network)
        masked = self._watched()
        unmasked = self._watched(ratio=0.0, mlp_ratio=0.0, seed=0)
        if self.drawing:
            pixels, label = page.Pictures("digits", (self.drawing,), (), ()).pixels()[0], None
        else:
            pixels, label = pictures.pixels()[self.picture], pictures.labels[self.picture]
        blocks = _network(self.network).net.blocks
        return {
            "key": self.request(),
            "classes": list(pictures.classes),
            "pictures": len(pictures.data),
            "layers": masked.shapes,
            "sides": [block.tokens for block in blocks],
            "picture": picture(pixels, label),
            "masked": record(masked),
            "unmasked": record(unmasked),
        }

    def _watched(self, **changes: float) -> Watched:
        return _watched(**{name: getattr(self, name) for name in REQUEST} | changes)

    def _hear(self, widget: object, content: object, buffers: object) -> None:
        """A view asks for an answer when it is drawn: from then on there is one."""
        self._shown = True
        self._follow()

    def _follow(self, change: object = None) -> None:
        if self._shown:
            self.set_trait("answer", self.compute())

    @traitlets.validate("drawing")
    def _check_drawing(self, proposal: dict) -> str:
        text = proposal["value"]
        inks = not text or (len(text) == 64 and set(text) <= set(page.INKS))
        require(inks, f"drawing must be '' or 64 characters of {page.INKS!r}, not {text!r}")
        read = not text or self.networks[self.network]["drawable"]
        require(read, f"drawing must be '': {self.network!r} reads no digits that stand alone")
        return text

    @traitlets.observe("network")
    def _forget_drawing(self, change: dict) -> None:
        if self.networks and not self.networks[self.network]["drawable"]:
            self.drawing = ""

    def fallback(self) -> str:
        """Tables of accuracies: masks in the attention, the same without scores, in the MLPs."""
        titles = {
            "attention": "masks in the attention",
            "scores": "masks in the attention, and A = 0",
            "mlp": "masks in the MLPs",
        }
        measured = {name: about["curves"] for name, about in self.networks.items()}
        measured = {name: curves for name, curves in measured.items() if curves}
        if not measured:
            return table("No accuracy has been measured for these networks", ["network"], [])
        some = next(iter(self.networks.values()))
        tables = []
        for kind, title in titles.items():
            place, what = ("attention", "scores") if kind == "scores" else (kind, "accuracy")
            points = next(iter(measured.values()))[place]
            tables.append(
                table(
                    f"Accuracy (%) against the mask ratio: {title}. T = {some['steps']}, "
                    f"{some['images']} test pictures, mean over {some['seeds']} seeds",
                    ["network", *(f"{100 * p['ratio']:.0f} %" for p in points)],
                    [
                        [name, *(f"{100 * p[what]:.1f}" for p in curves[place])]
                        for name, curves in measured.items()
                    ],
                )
            )
        return "".join(tables)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in REQUEST)
        return f"NetworkExplorer({shown})"


def offered(name: str, path: Any = CURVES) -> dict[str, object]:
    """Return what a view has to know of a network before it runs.

    Args:
        name: A shipped network that `mstlib.explorers.page` can run.
        path: The stored rows of `mst study curves`.

    Returns:
        ``classes`` and ``labels`` of its pictures; ``drawable``, whether it reads a digit that
        stands alone; ``trained``, the ratio of its training by place, or ``None``; ``curves``,
        ``{place: [{"ratio", "accuracy", "sd", "scores"}, …]}``, empty if nothing was measured; and
        of the measurement ``steps``, ``images`` and ``seeds``.

    Raises:
        ValueError: it cannot run in a page.
    """
    pictures = page.pictures(name)
    rows = [row for row in json.loads(path.read_text()) if row["network"] == name]
    curves = {
        place: [
            {
                "ratio": row["ratio"],
                "accuracy": round(mean(row["accuracy"]), 5),
                "sd": round(pstdev(row["accuracy"]), 5),
                "scores": None if row["scores"] is None else round(mean(row["scores"]), 5),
            }
            for row in rows
            if row["place"] == place
        ]
        for place in PLACES
    }
    recipe = {k: rows[0][k] if rows else None for k in ("steps", "images", "seeds")}
    trained = manifest()[name]["masking"]
    return {
        "classes": list(pictures.classes),
        "trained": trained and {place: trained[place] for place in PLACES},
        "labels": list(pictures.labels),
        "drawable": pictures.name == "digits",
        "curves": curves if rows else {},
        **recipe,
    }


def _depths(name: str) -> tuple[int, ...]:
    able = page.transformers()
    require(name in able, f"names must be networks that run in a page ({able}), not {name!r}")
    return tuple(manifest()[name]["config"]["depths"])


@cache
def _network(name: str) -> SpikingNetwork:
    return page.network(name)


@lru_cache(maxsize=16)
def _watched(
    network: str,
    picture: int,
    drawing: str,
    ratio: float,
    mlp_ratio: float,
    steps: int,
    seed: int,
    layer: str,
    block: int,
) -> Watched:
    image = page.drawn(drawing) if drawing else page.pictures(network).images()[[picture]]
    masking = Masking(attention=ratio, mlp=mlp_ratio)
    return watch(_network(network), image, steps, masking, seed, layer, block)
