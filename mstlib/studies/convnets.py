"""Masked convolutional networks: accuracy and spikes against the mask ratio (Fig. 5c, d; Table 3).

Question: do ResNet18 and VGG16 bear masks before their convolutions, and do the masks save spikes?
Arms: at five ratios, students distilled with the masks and the teacher simply masked; the control
(the same epochs, no masks); at one half also students of four times the epochs.
Seeds: ten of the masks, three where nothing was trained; one training. Images: the first 200 test
digits.
Statistic: accuracy after 64 steps, mean ± standard deviation over the masks; spikes emitted and
delivered, relative to the control (chapters 8 and 9).
Refuted: "redundant, as in the paper", where students lose many more answers at one half than the
paper's few points, as ours do. They are narrow and were trained for minutes.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial

from torch import nn

from mstlib import data
from mstlib.checkpoints import load_shipped
from mstlib.convert import SpikingNetwork
from mstlib.masking import Masking
from mstlib.simulate import Run
from mstlib.studies.records import FOLDER, Row, Table, kept
from mstlib.studies.records import find as find  # in chapter 8, rows are found by their `Case`
from mstlib.studies.students import under_masks
from mstlib.train import RECIPES, Distillation, distil

TABLE = Table(FOLDER / "convnets.json")
NETWORKS = ("resnet-digits", "vgg-digits")
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9)
STEPS = (16, 32, 64)
IMAGES = 200
RUNS = 10  # the paper's insets show the deviation over ten runs
RUNS_UNTUNED = 3


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

    @property
    def weights(self) -> str:
        """Name under which its student's weights are kept."""
        return f"{self.network}-conv-{round(100 * self.ratio)}-{self.epochs}"


CASES = tuple(
    Case(network, ratio, tuned)
    for network in NETWORKS
    for tuned in (True, False)
    for ratio in (0.0, *RATIOS)
) + tuple(Case(network, 0.5, epochs=12) for network in NETWORKS)


def results() -> list[Row]:
    """Return the stored results, a row for each of `CASES`.

    Each row has the fields of its case, the ``recipe`` of its student or ``None``, ``minutes`` of
    training, and what `measure` gives.
    """
    return TABLE.read()


def student(case: Case, progress: bool = False) -> nn.Module:
    """Return the network of a case; a student is trained at its first use and kept on disk."""
    teacher = load_shipped(case.network)
    make = partial(distil, teacher, case.recipe, progress=progress)
    return kept(case.weights, teacher, make) if case.tuned else teacher


def measure(
    model: nn.Module, name: str, ratio: float, images: int = IMAGES, runs: int = RUNS
) -> Row:
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
    seeds = range(runs if ratio > 0 else 1)
    row, snn, every = under_masks(model, Masking(conv=ratio), seeds, x, y, STEPS)
    row["emitted"] = _mean([emitted(run) for run in every])
    row["delivered"] = _mean([delivered(snn, run) for run in every])
    row["power"] = round(sum(run.power() for run in every) / len(every))
    return {"images": len(y)} | row


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


def run(progress: bool = False) -> None:
    """Train and measure every case that has no stored result of the same recipe yet."""
    TABLE.fill(CASES, _key, partial(_trained, progress), progress)


def _key(case: Case) -> Row:
    return asdict(case) | {"recipe": asdict(case.recipe) if case.tuned else None}


def _trained(progress: bool, case: Case) -> Row:
    began = time.monotonic()
    model = student(case, progress)
    minutes = round((time.monotonic() - began) / 60, 1)
    name, runs = RECIPES[case.network].data, RUNS if case.tuned else RUNS_UNTUNED
    return {"minutes": minutes} | measure(model, name, case.ratio, runs=runs)
