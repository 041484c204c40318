"""Measure the rows of Table 3 on the shipped networks, with lesions and controls beside them.

Usage: python tools/table3.py [--images 150] [--steps 32]

Rows that are in the file already, measured in the same way on the same weights, are kept. Masked
students of the convolutional networks are not shipped: `mst study convnets` trains them, and keeps
them where `mstlib.studies.convnets` finds them. Without them the table shows those networks masked,
untrained.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

import mstlib
from mstlib.analysis.operations import trace
from mstlib.checkpoints import manifest
from mstlib.masking import Masking
from mstlib.models.lesions import lesion
from mstlib.studies.convnets import KEPT, Case
from mstlib.studies.records import FOLDER

OUT = FOLDER / "table3.json"
# (network, its data, where it is masked). A student is named NETWORK-KIND-PERCENT, the unmasked one
# of the same training NETWORK-control or NETWORK-conv-0; those that are missing are left out.
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
    rows = []
    for network, data, kind in NETWORKS:
        for ratio in RATIOS:
            about = {"network": network, "data": data, "kind": kind, "ratio": ratio}
            student = f"{network}-{kind}-{round(100 * ratio)}"
            control = f"{network}-conv-0" if kind == "conv" else f"{network}-control"
            names = [network, student if ratio else control]
            lesions = (None, "scores", "branch") if kind == "attention" else (None,)
            for name in names:
                for silenced in lesions if name != network or not ratio else (None,):
                    if name in mstlib.available() or kept(name).exists():
                        rows.append(about | {"weights": name, "lesion": silenced})
    return rows


def kept(name: str) -> Path:
    """Return where a student that is not shipped is kept."""
    return OUT.parent.parent / KEPT / f"{name}-{Case.epochs}.safetensors"


def load(row: dict) -> nn.Module:
    """Load the network of a row."""
    if row["weights"] in mstlib.available():
        return mstlib.load(row["weights"])
    model = copy.deepcopy(mstlib.load(row["network"]))
    model.load_state_dict(load_file(kept(row["weights"])))
    return model


def fingerprint(name: str) -> str:
    """Return the SHA-256 of a network's weights."""
    if name in mstlib.available():
        return manifest()[name]["sha256"]
    return hashlib.sha256(kept(name).read_bytes()).hexdigest()


def measure(row: dict, images: int, steps: int) -> dict:
    """Simulate one row."""
    x, labels = mstlib.data.load(row["data"], split="test", n=images)
    snn = mstlib.convert(load(row))
    masking = Masking(**{row["kind"]: row["ratio"]})
    with lesion(snn, row["lesion"]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a control is run without masks on purpose
        result = trace(snn, x, steps, masking)
    right = float(result.run.accuracy(labels)[-1])
    return {"accuracy": right, "totals": asdict(result.totals())}


def main() -> None:
    """Measure what is missing and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--only", default="", help="measure anew only networks that begin so")
    chosen = parser.parse_args()
    known = json.loads(OUT.read_text()) if OUT.exists() else {"rows": []}
    if (known.get("images"), known.get("steps")) != (chosen.images, chosen.steps):
        known["rows"] = []
    done, rows = known["rows"], []
    for row in wanted():
        row["sha256"] = fingerprint(row["weights"])
        same = [r for r in done if row.items() <= r.items()]
        if not same:
            if not row["network"].startswith(chosen.only):
                continue
            same = [row | measure(row, chosen.images, chosen.steps)]
            print(row["weights"], row["kind"], row["ratio"], row["lesion"], same[0]["accuracy"])
        rows.append(same[0])
    report = {
        "made by": "mst study table3",
        "torch": torch.__version__.split("+")[0],
        "images": chosen.images,
        "steps": chosen.steps,
        "rows": rows,
    }
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
