"""Masked convolutional networks: accuracy and spikes against the mask ratio (Fig. 5c, d; Table 3).

The students take minutes, so the results are stored with the package; `mst study convnets` makes
them again, and chapter 8 computes some of them anew.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from mstlib import data
from mstlib.checkpoints import load_shipped
from mstlib.convert import SpikingNetwork, convert
from mstlib.masking import Masking, set_masking
from mstlib.simulate import Run, simulate
from mstlib.studies.records import FOLDER
from mstlib.train import RECIPES, Distillation, accuracy, distil

RESULTS = FOLDER / "convnets.json"
NETWORKS = ("resnet-digits", "vgg-digits")
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9)
STEPS = (16, 32, 64)
IMAGES = 200
RUNS = 10  # the paper's insets show the deviation over ten runs
RUNS_UNTUNED = 3
KEPT = Path(".training")  # weights of students that are not shipped


@dataclass(frozen=True)
class Case:
    """One network of the sweep.

    Attributes:
        network: Name of the unmasked network.
        ratio: Ratio p of the masks before its convolutions, in training and in the measurement.
        tuned: Distilled with these masks (without any, at p = 0: the control of the same epochs).
            Otherwise the unmasked network as it is, masked.
        epochs: Of 4000 images each, for the student.
    """

    network: str
    ratio: float = 0.0
    tuned: bool = True
    epochs: int = 3

    @property
    def recipe(self) -> Distillation:
        """How its student is trained."""
        return Distillation(self.network, Masking(conv=self.ratio), self.epochs)


CASES = tuple(
    Case(network, ratio, tuned)
    for network in NETWORKS
    for tuned in (True, False)
    for ratio in (0.0, *RATIOS)
) + tuple(Case(network, 0.5, epochs=12) for network in NETWORKS)


def results(path: Path = RESULTS) -> list[dict[str, object]]:
    """Return the stored results, a row for each of `CASES`.

    Each row has the fields of its case, the ``recipe`` of its student or ``None``, ``minutes`` of
    training, and what `measure` gives.
    """
    return json.loads(path.read_text()) if path.exists() else []


def find(rows: Iterable[dict[str, object]], case: Case) -> dict[str, object]:
    """Return the row of a case.

    Raises:
        LookupError: there is none.
    """
    for row in rows:
        if asdict(case).items() <= row.items():
            return row
    raise LookupError(f"no stored result for {case}")


def student(case: Case, progress: bool = False) -> nn.Module:
    """Return the network of a case; a student is trained at its first use and kept on disk."""
    teacher = load_shipped(case.network)
    if not case.tuned:
        return teacher
    name = f"{case.network}-conv-{round(100 * case.ratio)}-{case.epochs}"
    path = KEPT / f"{name}.safetensors"
    if not path.exists():
        model = distil(teacher, case.recipe, state=path.with_suffix(""), progress=progress)
        save_file(model.state_dict(), path)
    model = copy.deepcopy(teacher)
    model.load_state_dict(load_file(path))
    return model


def measure(
    model: nn.Module, name: str, ratio: float, images: int = IMAGES, runs: int = RUNS
) -> dict[str, object]:
    """Measure a network with masks before its convolutions, over several seeds of the masks.

    Args:
        model: A QCFS network with conv masks.
        name: Name of its data set.
        ratio: Ratio p of the masks.
        images: How many test images.
        runs: Seeds of the masks, from 0; one is enough where p = 0.

    Returns:
        ``images``; ``qcfs``, accuracy of each run with QCFS activations, where an image meets a
        single mask; ``snn``, ``{T: accuracy of each run}``; ``emitted`` and ``delivered``,
        ``{layer: spikes}`` of an image in a step, averaged over the runs (see `delivered`); and
        ``power``, Eq. 10 of the emitted ones in α watts.
    """
    x, y = data.load(name, "test", images)
    masking, seeds = Masking(conv=ratio), range(runs if ratio > 0 else 1)
    row: dict[str, object] = {"images": len(y), "qcfs": []}
    for seed in seeds:
        set_masking(model, masking, seed)
        row["qcfs"].append(round(accuracy(model, x, y), 4))
    set_masking(model, None)
    snn = convert(model)
    snn.trained_masking = None  # measured as asked for, whatever it was trained with
    every = [simulate(snn, x, max(STEPS), masking, seed) for seed in seeds]
    after = [run.accuracy(y) for run in every]
    row["snn"] = {str(t): [round(float(a[t - 1]), 4) for a in after] for t in STEPS}
    row["emitted"] = _mean([emitted(run) for run in every])
    row["delivered"] = _mean([delivered(snn, run) for run in every])
    row["power"] = round(sum(run.power() for run in every) / len(every))
    return row


def emitted(run: Run) -> dict[str, float]:
    """Return the spikes that each layer emits for one image in one step."""
    return {layer: spikes / run.image_steps for layer, spikes in run.spike_counts.items()}


def delivered(snn: SpikingNetwork, run: Run) -> dict[str, float]:
    """Return the deliveries of each layer's spikes, for one image in one step.

    A spike is delivered to every layer that reads it: in a residual network to a convolution and to
    the shortcut around it. A mask stops one of these deliveries, and not the spike.

    Args:
        snn: A network from `mstlib.models.tracing`, converted.
        run: A simulation of it.
    """
    return {
        layer: sum(run.delivered.get(reader, run.spike_counts[layer]) for reader in readers)
        / run.image_steps
        for layer, readers in snn.net.readers.items()
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(sum(row[key] for row in rows) / len(rows), 3) for key in rows[0]}


def run_sweep(cases: Iterable[Case] = CASES, path: Path = RESULTS, progress: bool = False) -> None:
    """Train and measure every case that has no stored result of the same recipe yet.

    Each result is written as soon as it is known, so that a sweep that was stopped goes on.

    Args:
        cases: What to train and measure.
        path: Where results are kept.
        progress: Show progress bars.
    """
    for case in cases:
        recipe = json.loads(json.dumps(asdict(case.recipe))) if case.tuned else None
        key = asdict(case) | {"recipe": recipe}
        rows = results(path)
        if any(key.items() <= row.items() for row in rows):
            continue
        began = time.monotonic()
        model = student(case, progress)
        minutes = round((time.monotonic() - began) / 60, 1)
        runs = RUNS if case.tuned else RUNS_UNTUNED
        found = measure(model, RECIPES[case.network].data, case.ratio, runs=runs)
        if progress:
            print(case, minutes, found["qcfs"][0], found["snn"]["64"][0], flush=True)
        kept = [row for row in results(path) if not asdict(case).items() <= row.items()]
        row = key | {"minutes": minutes} | found
        path.write_text(json.dumps([*kept, row], indent=1) + "\n")
