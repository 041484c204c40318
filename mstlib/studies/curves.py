"""Measure the accuracy of the networks that run in a page, against the mask ratio, in PyTorch.

Usage: python tools/live_curves.py

A row holds one network at one ratio, with masks in one place: its accuracy for each seed of the
masks and, with masks in the attention, the same with the attention scores silenced (A = 0). Rows
that are stored already, measured in the same way on the same weights, are kept.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from mstlib import Masking, data, simulate
from mstlib.checkpoints import data_set, manifest
from mstlib.explorers import page as web
from mstlib.explorers.network import CURVES
from mstlib.models.lesions import lesion

RATIOS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
RECIPE = {"images": 150, "steps": 32, "seeds": 3}


def wanted() -> list[dict]:
    """List what is to be measured: network and hash of its weights, place, ratio, and recipe."""
    known = manifest()
    return [
        {"network": name, "sha256": known[name]["sha256"], "place": place, "ratio": ratio} | RECIPE
        for name in web.MODELS
        for place in ("attention", "mlp")
        for ratio in RATIOS
    ]


def measure(row: dict) -> dict:
    """Return ``accuracy``, one number for each seed, and ``scores``, the same with A = 0.

    Without masks all seeds are the same run, and one is done. ``scores`` is ``None`` with masks in
    the MLPs.
    """
    images, labels = data.load(data_set(row["network"]), "test", row["images"])
    masking = Masking(**{row["place"]: row["ratio"]})
    seeds = range(row["seeds"] if row["ratio"] else 1)
    snn = web.network(row["network"])

    def accuracies(silenced: str | None) -> list[float]:
        with lesion(snn, silenced), warnings.catch_warnings():
            # Some were trained with one ratio: what they do at the others is the question here.
            warnings.filterwarnings("ignore", "this network was trained")
            runs = [simulate(snn, images, row["steps"], masking, seed) for seed in seeds]
        return [round(float(run.accuracy(labels)[-1]), 4) for run in runs]

    scores = accuracies("scores") if row["place"] == "attention" else None
    return {"accuracy": accuracies(None), "scores": scores}


def main(path: Path = CURVES) -> None:
    """Measure what is not stored yet, and store each row as soon as it is known."""
    rows = json.loads(path.read_text()) if path.exists() else []
    done = []
    for about in wanted():
        stored = [row for row in rows if about.items() <= row.items()]
        done.append(stored[0] if stored else about | measure(about))
        if not stored:
            found = done[-1]["accuracy"]
            print(about["network"], about["place"], about["ratio"], found, flush=True)
            left = [row for row in rows if not any(d.items() <= row.items() for d in done)]
            path.write_text(json.dumps([*done, *left], indent=1) + "\n")
    path.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
