"""A grid of masked evaluations: where × how much × which draw, each cell kept once it is known.

Accuracy at every T comes out of one simulation, so T is no axis of its own: a cell is simulated for
the largest T and read off at the others. A cell is an evaluation in a folder of its own, so a sweep
that was stopped goes on in the middle of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from torch import nn

from mstlib.energy import power
from mstlib.masking import KINDS, Masking, check_ratio
from mstlib.scale.evaluate import evaluate
from mstlib.scale.task import Task


@dataclass(frozen=True)
class Cell:
    """One network under one masking.

    Attributes:
        kind: What is masked: "attention", "mlp" or "conv".
        ratio: How much of it.
        seed: Of the masks.
    """

    kind: str
    ratio: float
    seed: int

    @property
    def masking(self) -> Masking:
        """Its masks."""
        return Masking(**{self.kind: self.ratio})

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.kind}-{self.ratio:g}-seed-{self.seed}" if self.ratio else "unmasked"


@dataclass(frozen=True)
class Row:
    """What was measured in one cell.

    Attributes:
        kind, ratio, seed: See `Cell`.
        accuracy: ``{T: share of right answers}``.
        images: How many were simulated.
        emitted: Spikes emitted by one image in a step.
        power: Of Eq. 10, in watts, times α.
    """

    kind: str
    ratio: float
    seed: int
    accuracy: dict[int, float]
    images: int
    emitted: float
    power: float


def cells(kinds: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]) -> list[Cell]:
    """Return all cells of a grid; without masks there is one only, whatever the kind and seed.

    Raises:
        ValueError: an unknown kind, a ratio outside [0, 1), or an axis without a value.
    """
    if not (kinds and ratios and seeds):
        raise ValueError("a sweep needs at least one kind, one ratio and one seed")
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")
    for ratio in ratios:
        check_ratio(ratio, "ratio")
    grid = [Cell(kinds[0], 0.0, seeds[0])] if 0 in ratios else []
    return grid + [Cell(k, p, seed) for k in kinds for p in ratios if p for seed in seeds]


def sweep(
    network: Callable[[Cell], nn.Module],
    task: Task,
    grid: Sequence[Cell],
    steps: Sequence[int],
    out: str | Path,
    processes: int = 1,
    workers: int = 0,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Evaluate the cells of a grid that are not known yet.

    Args:
        network: Gives the network of a cell: the same one for all, or a student of its ratio.
        task: What to judge them by; its masks and its seed are those of each cell.
        grid: From `cells`.
        steps: Numbers T to read the accuracy off at.
        out: Folder that keeps the cells.
        processes: See `mstlib.scale.evaluate.evaluate`, as for the next.
        workers: Processes that read images ahead.
        tell: Called with each row as soon as it is known.

    Returns:
        A row for each cell.

    Raises:
        ValueError: no T, or one below 1; or whatever `evaluate` refuses.
    """
    if not steps or min(steps) < 1:
        raise ValueError(f"steps must be whole numbers >= 1, not {list(steps)}")
    rows = []
    for cell in grid:
        asked = replace(task, masking=cell.masking, seed=cell.seed, steps=max(steps))
        place = Path(out) / f"{cell.name}-T-{max(steps)}"
        tally = evaluate(network(cell), asked, place, processes, workers)
        accuracy = {t: tally.accuracy[t - 1] for t in steps}
        emitted = sum(tally.spike_counts.values()) / tally.image_steps
        rows.append(Row(*astuple(cell), accuracy, tally.images, emitted, power(tally)))
        tell(rows[-1])
    return rows
