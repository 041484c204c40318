"""Is the attention alive? The recipes from several seeds, whole and with lesions that last.

A network that loses its attention *after* training shows that it uses it; one that was trained
without it shows whether the task needs it. The second kind takes hours, so its results are stored
with the package and `mst study lesions` makes them again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mstlib import data
from mstlib.convert import convert
from mstlib.models.lesions import lesion
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.simulate import simulate
from mstlib.studies.records import FOLDER
from mstlib.train import RECIPES, Recipe, accuracy, train

RESULTS = FOLDER / "lesions.json"
SEEDS = (0, 1, 2)
STEPS = (8, 16, 32, 64)
IMAGES = 1000


@dataclass(frozen=True)
class Control:
    """One network to train: a model's recipe, a form of attention, and a lasting lesion.

    Attributes:
        model: Whose recipe.
        attention: ``"softmax"`` or ``"pure"``.
        lesion: What is silenced from the first step of training to the last, or ``None``.
        patience: How many times the ReLU epochs of the recipe: can a lesion be learned around?
    """

    model: str
    attention: str = "softmax"
    lesion: str | None = None
    patience: int = 1

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        base = RECIPES[self.model]
        return replace(
            base,
            model=base.model | {"attention": self.attention},
            lesion=self.lesion,
            relu_epochs=base.relu_epochs * self.patience,
        )


_WITH_ATTENTION = [
    name
    for name, recipe in RECIPES.items()
    if not recipe.model.keys() & {"network", "norm", "reduction"}
]
CONTROLS = (
    *(Control(name) for name in _WITH_ATTENTION),
    *(Control(name, lesion=kind) for name in _WITH_ATTENTION for kind in ("scores", "branch")),
    Control("mst-scenes", "pure"),
    Control("mst-scenes", "pure", "scores"),
    *(Control("mst-scenes", form, "scores", patience=4) for form in ("softmax", "pure")),
    *(Control("mst-events", lesion=kind) for kind in ("scores", "branch")),
)


def results(path: Path = RESULTS) -> list[dict[str, object]]:
    """Return the stored results, a row for each control and seed.

    Each row has ``model``, ``attention`` ("softmax" or "pure"), ``lesion`` (the lasting one, or
    ``None``), ``patience`` (1, or how many times the recipe's ReLU epochs), ``seed``, ``qcfs``
    (accuracy in [0, 1]), ``minutes`` and ``recipe``; and, where no lesion lasted, ``snn``
    ``{T: accuracy}``, ``branch`` and ``scores`` (accuracy after that lesion) and ``silent``
    ``{attention layer: share of neurons that never fire}``.
    """
    return json.loads(path.read_text()) if path.exists() else []


def measure(model: MaskedSpikingTransformer, name: str, images: int = IMAGES) -> dict[str, object]:
    """Measure a whole network on test images: accuracies, lesions and silent neurons.

    Args:
        model: The network.
        name: Name of its data set.
        images: How many test images, at most (a stored set may have fewer).
    """
    x, y = data.load(name, "test")
    x, y = x[:images], y[:images]
    row: dict[str, object] = {"qcfs": accuracy(model, x, y)}
    for kind in ("branch", "scores"):
        with lesion(model, kind):
            row[kind] = accuracy(model, x, y)
    run = simulate(convert(model), x, max(STEPS))
    after = run.accuracy(y)
    row["snn"] = {str(t): float(after[t - 1]) for t in STEPS}
    row["silent"] = {n: round(v, 4) for n, v in run.silent.items() if ".attn." in n}
    return row


def run_controls(
    controls: Iterable[Control] = CONTROLS,
    seeds: Iterable[int] = SEEDS,
    path: Path = RESULTS,
    progress: bool = False,
) -> None:
    """Train and measure every control that has no stored result of the same recipe yet.

    Each result is written as soon as it is known, so that a run that was stopped goes on.

    Args:
        controls: What to train.
        seeds: From which seeds.
        path: Where results are kept.
        progress: Show progress bars.
    """
    for seed in seeds:
        for control in controls:
            recipe = json.loads(json.dumps(asdict(control.recipe)))
            key = {
                "model": control.model,
                "attention": control.attention,
                "lesion": control.lesion,
                "patience": control.patience,
                "seed": seed,
            }
            rows = results(path)
            if any(row["recipe"] == recipe and key.items() <= row.items() for row in rows):
                continue
            began = time.monotonic()
            file = Path(".training") / "-".join(map(str, key.values()))
            model = train(control.recipe, seed, state=file, progress=progress)
            row = key | {"recipe": recipe, "minutes": round((time.monotonic() - began) / 60, 1)}
            if control.lesion is None:
                row |= measure(model, recipe["data"])
            else:
                x, y = data.load(recipe["data"], "test")
                with lesion(model, control.lesion):
                    row["qcfs"] = accuracy(model, x[:IMAGES], y[:IMAGES])
            kept = [old for old in results(path) if not key.items() <= old.items()]
            path.write_text(json.dumps([*kept, row], indent=1) + "\n")
