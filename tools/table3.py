"""Measure the rows of Table 3 on the shipped networks, with lesions and controls beside them.

Usage: python tools/table3.py [--images 150] [--steps 32]

Rows that are in the file already, measured in the same way on the same weights, are kept.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import torch

import mstlib
from mstlib.checkpoints import manifest
from mstlib.lesions import lesion
from mstlib.masking import Masking
from mstlib.operations import trace

OUT = Path(__file__).resolve().parent.parent / "book" / "table3.json"
# (network, its data, where it is masked). A student is named NETWORK-KIND-PERCENT, and the unmasked
# student of the same training NETWORK-control; those that are not shipped are left out.
NETWORKS = (
    ("mst-digits", "digits", "attention"),
    ("mst-digits", "digits", "mlp"),
    ("resnet-digits", "digits", "conv"),
    ("vgg-digits", "digits", "conv"),
    ("mst-scenes", "scenes", "attention"),
    ("mst-scenes", "scenes", "mlp"),
)
RATIOS = (0.0, 0.5, 0.75)


def wanted() -> list[dict]:
    """List the rows: network, where it is masked, ratio, and which weights are run."""
    shipped, rows = mstlib.available(), []
    for network, data, kind in NETWORKS:
        for ratio in RATIOS:
            about = {"network": network, "data": data, "kind": kind, "ratio": ratio}
            student = f"{network}-{kind}-{round(100 * ratio)}"
            names = [network, student if ratio else f"{network}-control"]
            lesions = (None, "scores", "branch") if kind == "attention" else (None,)
            for name in names:
                for silenced in lesions if name != network or not ratio else (None,):
                    if name in shipped:
                        rows.append(about | {"weights": name, "lesion": silenced})
    return rows


def measure(row: dict, images: int, steps: int) -> dict:
    """Simulate one row."""
    x, labels = mstlib.data.load(row["data"], split="test", n=images)
    snn = mstlib.convert(mstlib.load(row["weights"]))
    masking = Masking(**{row["kind"]: row["ratio"]})
    with lesion(snn, row["lesion"]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a control is run without masks on purpose
        result = trace(snn, x, steps, masking)
    right = float(result.run.accuracy(labels)[-1])
    return {"accuracy": right, "totals": asdict(result.totals())}


def main() -> None:
    """Measure what is missing and write the file after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--steps", type=int, default=32)
    chosen = parser.parse_args()
    known = json.loads(OUT.read_text()) if OUT.exists() else {"rows": []}
    if (known.get("images"), known.get("steps")) != (chosen.images, chosen.steps):
        known["rows"] = []
    done, rows = known["rows"], []
    for row in wanted():
        row["sha256"] = manifest()[row["weights"]]["sha256"]
        same = [r for r in done if row.items() <= r.items()]
        rows.append(same[0] if same else row | measure(row, chosen.images, chosen.steps))
        print(row["weights"], row["kind"], row["ratio"], row["lesion"], rows[-1]["accuracy"])
        report = {
            "made by": "tools/table3.py",
            "torch": torch.__version__.split("+")[0],
            "images": chosen.images,
            "steps": chosen.steps,
            "rows": rows,
        }
        OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
