"""The paper's network at full size: what a training and a simulation cost here.

Question: how long does it take, and how much memory?
Arms: images a second, at four sizes of a batch; then, on a stand-in, two updates of every phase of
a training, a student, and an evaluation, by the commands that a reader gives.
Seeds: one. Images: noise, or a stand-in's, at 224×224; the accuracies mean nothing.
Statistic: seconds and gigabytes of each command, on a quiet machine that is named (chapter 12).
Refuted: by other numbers on the same kind of machine. Takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import date

from mstlib.models.swin import swin_tiny
from mstlib.scale.cost import training_memory
from mstlib.studies.machine import describe
from mstlib.studies.records import FOLDER, Row, write

THREADS, STEPS, BATCHES = 2, 8, (1, 2, 4, 8)
FEW = "--root data --updates 2 --set batch.images=8 --set batch.workers=0 --images 2"
COMMANDS = (
    f"mst train --recipe cifar10 --start none --out runs/cifar10 {FEW}",
    "mst distil --recipe cifar10 --teacher runs/cifar10/model --mask attention=0.75 "
    f"--out runs/student {FEW}",
    "mst evaluate runs/student/model --data cifar10 --mask attention=0.75 --root data "
    "--images 4 --steps 16",
)


def measure(command: str, place: str) -> Row:
    """Run a command in a folder; return what it printed, its time, and the most memory it held.

    Raises:
        ChildProcessError: it failed.
    """
    began = time.monotonic()
    words = [sys.executable, "-m", "mstlib.cli", *command.split()[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    process = subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
    with process.stdout as pipe:
        printed = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f"failed: {command}\n{printed}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "command": command,
        "seconds": round(time.monotonic() - began),
        "gigabytes": round(usage.ru_maxrss * unit / 1e9, 2),
        "printed": printed,
    }


def run(progress: bool = False) -> None:
    """Run all commands and store what they took."""
    with tempfile.TemporaryDirectory() as place:
        throughput = f"mst throughput --steps {STEPS} --json --batch"
        speeds = [json.loads(measure(f"{throughput} {n}", place)["printed"]) for n in BATCHES]
        measure("mst standin cifar10 --root data", place)
        rows = [measure(command, place) for command in COMMANDS]
    for row in rows:
        printed = row.pop("printed")
        if progress:
            print(printed, row, flush=True)
    report = {
        "machine": describe() | {"threads": THREADS},
        "date": date.today().isoformat(),
        "throughput": speeds,
        "memory": asdict(training_memory(swin_tiny(classes=10))),
        "commands": rows,
    }
    write(FOLDER / "full_size.json", report)
