"""Run chapters 6, 7, 9 and 10 at the paper's scale on stand-ins; nothing of it is kept.

Thin random networks of 224×224 pixels stand in for the authors' checkpoints and for two students,
and a few made-up images for CIFAR-10: every cell must run, whatever it measures. The other students
are missing, as they are to most readers. It takes about ten minutes.

Usage: python tools/rehearse.py [notebook …]
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from mstlib import Masking, open_model
from mstlib.checkpoints.hub import save_model
from mstlib.checkpoints.official import write_standin
from mstlib.data import standins

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
CHAPTERS = ("06_full_conversion", "07_random_spike_masking", "09_energy", "10_what_it_looks_at")
STUDENTS = {"control": None, "attention-50": Masking(attention=0.5)}


def prepare(place: Path) -> None:
    """Write all stand-ins into a folder, and let the environment point to them."""
    os.environ |= {
        "MST_SCALE": "paper",
        "MST_DATA": str(place / "data"),
        "MST_CHECKPOINTS": str(place / "checkpoints"),
        "MST_RUNS": str(place / "runs"),
        "MST_IMAGES": "2",
    }
    standins.write("cifar10", place / "data", train=20, test=20)
    for name in ("cifar10", "cifar10-75"):
        write_standin(name, place / "checkpoints")
    for name, masking in STUDENTS.items():
        model = open_model("official:cifar10")
        model.trained_masking = masking
        save_model(model, place / "runs" / f"cifar10-{name}" / "model")


def main() -> None:
    """Run the chapters that are named, or all."""
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        for name in sys.argv[1:] or CHAPTERS:
            began = time.monotonic()
            path = NOTEBOOKS / f"{Path(name).stem}.ipynb"
            notebook = nbformat.read(path, as_version=4)
            NotebookClient(
                notebook, timeout=600, resources={"metadata": {"path": NOTEBOOKS}}
            ).execute()
            print(f"{path.stem}: every cell ran, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
