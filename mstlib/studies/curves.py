"""Accuracy of the networks that run in a page against the mask ratio, in PyTorch.

Question: what should the live explorer's curves say?
Arms: each network that a page offers, masked in the attention or in the MLPs at five ratios, and
unmasked; with masks in the attention also with the scores silenced.
Seeds: three of the masks. Images: the first 150 of the test split, T = 32.
Statistic: accuracy, mean and standard deviation over the masks (first page, chapter 7).
Refuted: a curve, by a page that gives other answers for the same seed and images.
"""

from __future__ import annotations

from functools import partial

from mstlib import data
from mstlib.checkpoints import data_set, manifest
from mstlib.explorers import page
from mstlib.explorers.network import CURVES
from mstlib.masking import Masking
from mstlib.models.lesions import lesion
from mstlib.simulate import simulate
from mstlib.studies.records import Row, Table, find

RATIOS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
RECIPE = {"images": 150, "steps": 32, "seeds": 3}
TABLE = Table(CURVES, recipe=("sha256", *RECIPE))


def wanted() -> list[Row]:
    """List what is to be measured: network and hash of its weights, place, ratio, and recipe."""
    known = manifest()
    return [
        {"network": name, "sha256": known[name]["sha256"], "place": place, "ratio": ratio} | RECIPE
        for name in page.MODELS
        for place in ("attention", "mlp")
        for ratio in RATIOS
    ]


def measure(row: Row) -> Row:
    """Return ``accuracy``, one number for each seed, and ``scores``, the same with A = 0.

    Without masks all seeds are the same run, and one is done. ``scores`` is ``None`` with masks in
    the MLPs.
    """
    images, labels = data.load(data_set(row["network"]), "test", row["images"])
    masking = Masking(**{row["place"]: row["ratio"]})
    seeds = range(row["seeds"] if row["ratio"] else 1)
    snn = page.network(row["network"])

    def accuracies(silenced: str | None) -> list[float]:
        # Some were trained with one ratio: what they do at the others is the question here.
        once = partial(simulate, snn, images, row["steps"], masking, as_trained=False)
        with lesion(snn, silenced):
            runs = [once(seed=seed) for seed in seeds]
        return [round(float(run.accuracy(labels)[-1]), 4) for run in runs]

    scores = accuracies("scores") if row["place"] == "attention" else None
    return {"accuracy": accuracies(None), "scores": scores}


def run(progress: bool = False) -> None:
    """Measure what is not stored yet; drop what pages no longer offer."""
    rows = TABLE.fill(wanted(), dict, measure, progress)
    TABLE.write([find(rows, about) for about in wanted()])
