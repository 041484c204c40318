"""Is the attention alive, and is it needed? Networks whole, cut after training, trained without.

Question: does a recipe's network use its attention, and does its task need any?
Arms: each recipe with attention, whole; with the scores, or the whole branch, silenced in every
step of training; scenes also in the pure form, and for four times as many ReLU epochs. The whole
ones are measured as they are and with either part silenced afterwards.
Seeds: 0, 1 and 2; of the costliest arms only 0. Images: the first 1000 of the test split, or all.
Statistic: accuracy, mean ± standard deviation over seeds (chapters 5 and 11).
Refuted: "it uses its scores", where silencing them costs nothing; "the task needs them", where a
network trained without them is as good. Training takes hours.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace

from torch import Tensor, nn

from mstlib import data
from mstlib.convert import convert
from mstlib.models.lesions import lesion
from mstlib.simulate import simulate
from mstlib.studies.records import FOLDER, KEPT, Row, Table
from mstlib.train import RECIPES, Recipe, accuracy, train

TABLE = Table(FOLDER / "lesions.json")
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
# Hours each: from seed 0 only.
ONCE = (
    Control("mst-scenes", "pure", "scores", patience=4),
    *(Control("mst-events", lesion=kind) for kind in ("scores", "branch")),
)
CONTROLS = (
    *(Control(name) for name in _WITH_ATTENTION),
    *(Control(name, lesion=kind) for name in _WITH_ATTENTION for kind in ("scores", "branch")),
    Control("mst-scenes", "pure"),
    Control("mst-scenes", "pure", "scores"),
    Control("mst-scenes", lesion="scores", patience=4),
    *ONCE,
)


def results() -> list[Row]:
    """Return the stored results, a row for each control and seed.

    Each row has ``model``, ``attention`` ("softmax" or "pure"), ``lesion`` (the lasting one, or
    ``None``), ``patience`` (1, or how many times the recipe's ReLU epochs), ``seed``, ``qcfs``
    (accuracy in [0, 1]), ``minutes`` and ``recipe``; and, where no lesion lasted, ``snn``
    ``{T: accuracy}``, ``branch`` and ``scores`` (accuracy after that lesion) and ``silent``
    ``{attention layer: share of neurons that never fire}``.
    """
    return TABLE.read()


def run(progress: bool = False) -> None:
    """Train and measure every control that has no stored result of the same recipe yet."""
    cases = [(c, seed) for seed in SEEDS for c in CONTROLS if seed == 0 or c not in ONCE]
    TABLE.fill(cases, _key, lambda case: _trained(*case, progress), progress)


def _key(case: tuple[Control, int]) -> Row:
    control, seed = case
    return asdict(control) | {"seed": seed, "recipe": asdict(control.recipe)}


def _trained(control: Control, seed: int, progress: bool) -> Row:
    began, recipe = time.monotonic(), control.recipe
    state = KEPT / "-".join(map(str, (*asdict(control).values(), seed)))
    model = train(recipe, seed, state=state, progress=progress)
    row: Row = {"minutes": round((time.monotonic() - began) / 60, 1)}
    x, y = (these[:IMAGES] for these in data.load(recipe.data, "test"))
    if control.lesion is None:
        return row | _measure(model, x, y)
    with lesion(model, control.lesion):
        return row | {"qcfs": accuracy(model, x, y)}


def _measure(model: nn.Module, x: Tensor, y: Tensor) -> Row:
    """Measure a whole network on test images: accuracies, lesions and silent neurons."""
    row: Row = {"qcfs": accuracy(model, x, y)}
    for kind in ("branch", "scores"):
        with lesion(model, kind):
            row[kind] = accuracy(model, x, y)
    run = simulate(convert(model), x, max(STEPS))
    after = run.accuracy(y)
    row["snn"] = {str(t): float(after[t - 1]) for t in STEPS}
    row["silent"] = {n: round(v, 4) for n, v in run.silent.items() if ".attn." in n}
    return row
