"""The rows of Table 3 on the shipped networks, with lesions and controls beside them.

Question: what do masks save, by each account of spikes and operations, and what do they cost?
Arms: each network unmasked and at two ratios, masked in attention, MLPs or before convolutions: the
network as it is, and the student trained so (at 0: the control of the same epochs).
Seeds: one of the masks. Images: the first 150 of the test split, T = 32.
Statistic: accuracy, with masks in the attention also with A = 0 and with no attention branch; and
the totals of a trace, relative to the unmasked row (chapter 9).
Refuted: "masking saves energy", where the energy of all operations does not fall with the spikes;
"at no loss", where accuracy falls, or stays because A is no longer used.

Not all students of the convolutional networks are shipped: `mst study convnets` trains and keeps
them. Where they are not at hand, their stored rows stay as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from mstlib import data
from mstlib.analysis.operations import trace
from mstlib.checkpoints import load_shipped, manifest
from mstlib.convert import convert
from mstlib.masking import Masking
from mstlib.models.lesions import lesion
from mstlib.studies.convnets import Case, student
from mstlib.studies.records import FOLDER, KEPT, Row, Table

IMAGES, STEPS = 150, 32
TABLE = Table(FOLDER / "table3.json", recipe=("sha256",), head={"images": IMAGES, "steps": STEPS})
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


def wanted() -> list[Row]:
    """List the rows: network, where it is masked, ratio, which weights are run, and a lesion."""
    rows = []
    for network, source, kind in NETWORKS:
        for ratio in RATIOS:
            about = {"network": network, "data": source, "kind": kind, "ratio": ratio}
            control = f"{network}-conv-0" if kind == "conv" else f"{network}-control"
            for name in (network, f"{network}-{kind}-{round(100 * ratio)}" if ratio else control):
                cut = kind == "attention" and (name != network or not ratio)
                lesions = (None, "scores", "branch") if cut else (None,)
                rows += [about | {"weights": name, "lesion": silenced} for silenced in lesions]
    return rows


def fingerprint(row: Row) -> str | None:
    """Return the SHA-256 of the weights of a row; ``None`` if they are not at hand."""
    if row["weights"] in manifest():
        return manifest()[row["weights"]]["sha256"]
    path = _kept(row)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _kept(row: Row) -> Path:
    return KEPT / f"{Case(row['network'], row['ratio']).weights}.safetensors"


def measure(row: Row) -> Row:
    """Simulate one row: its accuracy, and the totals of its trace."""
    x, labels = data.load(row["data"], split="test", n=IMAGES)
    shipped = row["weights"] in manifest()
    ann = load_shipped(row["weights"]) if shipped else student(Case(row["network"], row["ratio"]))
    snn = convert(ann)
    masking = Masking(**{row["kind"]: row["ratio"]})
    with lesion(snn, row["lesion"]):  # a control is run without masks on purpose
        result = trace(snn, x, STEPS, masking, as_trained=False)
    right = float(result.run.accuracy(labels)[-1])
    return {"accuracy": right, "totals": asdict(result.totals())}


def run(progress: bool = False) -> None:
    """Measure what is missing, and put the rows in the order of the table."""
    here = [row for row in wanted() if fingerprint(row)]
    rows = TABLE.fill(here, lambda row: row | {"sha256": fingerprint(row)}, measure, progress)
    TABLE.write([row for about in wanted() for row in rows if about.items() <= row.items()])
