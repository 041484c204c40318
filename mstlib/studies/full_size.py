"""Rehearse the paper's network at full size on a stand-in, and note speed, time and memory.

Images a second, by batch; then two updates of every phase, a student, and an evaluation, by the
commands that a reader gives. The accuracies mean nothing. Writes book/full_size.json, which
chapter 12 shows. Takes about a quarter of an hour on two quiet cores.

Usage: python tools/full_size.py
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

from mstlib.models.swin import swin_tiny
from mstlib.scale.cost import training_memory
from mstlib.studies.machine import describe
from mstlib.studies.records import FOLDER

OUT = FOLDER / "full_size.json"
THREADS, STEPS, BATCHES = 2, 8, (1, 2, 4, 8)
FEW = "--root data --updates 2 --set batch.images=8 --set batch.workers=0 --images 2"
COMMANDS = (
    f"mst train --recipe cifar10 --start none --out runs/cifar10 {FEW}",
    "mst distil --recipe cifar10 --teacher runs/cifar10/model --mask attention=0.75 "
    f"--out runs/student {FEW}",
    "mst evaluate runs/student/model --data cifar10 --mask attention=0.75 --root data "
    "--images 4 --steps 16",
)


def run(command: str, place: str) -> dict[str, object]:
    """Run a command; return what it printed, its time, and the most memory that it held."""
    began = time.monotonic()
    words = [sys.executable, "-m", "mstlib.cli", *command.split()[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    process = subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command}\n{printed}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "command": command,
        "seconds": round(time.monotonic() - began),
        "gigabytes": round(usage.ru_maxrss * unit / 1e9, 2),
        "printed": printed,
    }


def main() -> None:
    """Run all commands and write what they took."""
    with tempfile.TemporaryDirectory() as place:
        speeds = [
            json.loads(run(f"mst throughput --batch {n} --steps {STEPS} --json", place)["printed"])
            for n in BATCHES
        ]
        run("mst standin cifar10 --root data", place)
        rows = [run(command, place) for command in COMMANDS]
    for row in rows:
        print(row.pop("printed"))
    content = {
        "machine": describe() | {"threads": THREADS},
        "date": datetime.date.today().isoformat(),
        "throughput": speeds,
        "memory": asdict(training_memory(swin_tiny(classes=10))),
        "commands": rows,
    }
    OUT.write_text(f"{json.dumps(content, indent=1)}\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
