"""The paper's tables and figures at full size: what each number needs, and the number measured.

Nothing is downloaded and nothing is trained here. A row whose data or network is not there says
what to download, or which command makes it, and the other rows go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from torch import nn

from mstlib.checkpoints import open_model
from mstlib.checkpoints.files import write_whole
from mstlib.checkpoints.hub import events_side, read_config
from mstlib.checkpoints.state_dicts import CheckpointError
from mstlib.data import standins
from mstlib.data.places import DataNotFound
from mstlib.energy import power
from mstlib.masking import Masking
from mstlib.scale.evaluate import correct, evaluate
from mstlib.scale.tally import Tally
from mstlib.scale.task import Task

BLOCKS = 12  # of Swin-T, which Fig. 6 masks one after another
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9)
FIGURE_STEPS = 256  # the paper does not say T for its figures; this is the last of Table 1


@dataclass(frozen=True)
class Wanted:
    """One number of the paper, and what it takes to measure it.

    Attributes:
        id: Its name in the book's ledger of claims, or one in the same manner.
        data: Name of the data set.
        model: See `mstlib.checkpoints.open_model`; ``runs/…`` lies in the folder of trainings.
        steps: T; 0 for the network before its conversion.
        masking: Masks of the simulation.
        paper: The paper's accuracy in percent, or ``None`` where it draws a curve.
        paper_power: The paper's power in 10⁹ α watts, in Table 3.
        make: Command that trains the network, where nobody publishes it.
    """

    id: str
    data: str
    model: str
    steps: int
    masking: Masking = field(default_factory=Masking)
    paper: float | None = None
    paper_power: float | None = None
    make: str | None = None


@dataclass(frozen=True)
class Result:
    """What became of one `Wanted`.

    Attributes:
        id, data, model, steps, paper, paper_power: See `Wanted`.
        masking: As text.
        measured: Accuracy in percent, or ``None`` where something is missing.
        difference: Measured minus the paper's, in points; ``None`` in a trial of fewer steps.
        images: How many test images.
        power: Of Eq. 10, in α watts.
        stand_in: Measured on a stand-in, so it means nothing.
        missing: What to download or to run first.
    """

    id: str
    data: str
    model: str
    steps: int
    masking: str
    paper: float | None
    paper_power: float | None
    measured: float | None = None
    difference: float | None = None
    images: int = 0
    power: float | None = None
    stand_in: bool = False
    missing: str | None = None


def _table1() -> Iterator[Wanted]:
    numbers = {
        "cifar10": {64: 96.32, 128: 97.06, 256: 97.27},
        "cifar100": {64: 85.40, 128: 86.73, 256: 86.91},
        "imagenet": {128: 77.88, 256: 78.37, 512: 78.51},
    }
    for data, by_steps in numbers.items():
        for steps, paper in by_steps.items():
            yield Wanted(f"t1-{data}-mst-{steps}", data, f"official:{data}", steps, paper=paper)


def _table2() -> Iterator[Wanted]:
    numbers = {
        "cifar10-dvs": {0: 88.98, 128: 86.60, 256: 87.20, 512: 88.12},
        "n-caltech101": {0: 92.00, 64: 84.71, 128: 89.42, 256: 91.38},
        "n-cars": {0: 97.14, 32: 94.67, 64: 96.58, 128: 97.28},
        "action-recognition": {0: 90.14, 64: 84.76, 128: 86.92, 256: 88.21},
        "asl-dvs": {0: 99.90, 64: 98.04, 128: 98.51, 256: 99.10},
    }
    for data, by_steps in numbers.items():
        short = "action" if data.startswith("action") else data.replace("-", "")
        for steps, paper in by_steps.items():
            name = f"t2-{short}-mst-{steps}" if steps else f"t2-{short}-ann"
            make = f"mst train --recipe {data} --root DIR --out runs/{data}"
            yield Wanted(name, data, f"runs/{data}/model", steps, paper=paper, make=make)


def _student(data: str, kind: str, ratio: float) -> tuple[str, str]:
    """Return where a student lies, and the command that makes it."""
    name = f"runs/{data}-{kind}-{round(100 * ratio)}"
    return f"{name}/model", _distil(data, f"{kind}={ratio:g}", name)


def _distil(data: str, mask: str, out: str) -> str:
    return (
        f"mst distil --recipe {data} --teacher official:{data} --mask {mask} --root DIR --out {out}"
    )


def _table3() -> Iterator[Wanted]:
    half, make = _student("cifar10", "attention", 0.5)
    yield Wanted("t3-mst-0", "cifar10", "official:cifar10", 256, Masking(), 97.27, 3.9)
    yield Wanted("t3-mst-50", "cifar10", half, 256, Masking(attention=0.5), 97.25, 3.2, make)
    yield Wanted(
        "t3-mst-75", "cifar10", "official:cifar10-75", 256, Masking(attention=0.75), 97.29, 2.9
    )


def _figure5() -> Iterator[Wanted]:
    for data in ("cifar10", "cifar100"):
        yield Wanted(f"fig-5-{data}-0", data, f"official:{data}", FIGURE_STEPS)
        for panel, kind in (("a", "attention"), ("b", "mlp")):
            for ratio in RATIOS:
                model, make = _student(data, kind, ratio)
                if (kind, ratio) == ("attention", 0.75):
                    model, make = f"official:{data}-75", None
                name = f"fig-5{panel}-{data}-{round(100 * ratio)}"
                yield Wanted(name, data, model, FIGURE_STEPS, Masking(**{kind: ratio}), make=make)


def _figure6() -> Iterator[Wanted]:
    yield Wanted("fig-6-0", "cifar100", "official:cifar100", FIGURE_STEPS)
    for n in range(1, BLOCKS):
        ratios = (0.75,) * n + (0.0,) * (BLOCKS - n)
        name = f"runs/cifar100-blocks-{n}"
        make = _distil("cifar100", "attention=" + ",".join(f"{p:g}" for p in ratios), name)
        masking = Masking(attention=ratios)
        yield Wanted(f"fig-6-{n}", "cifar100", f"{name}/model", FIGURE_STEPS, masking, make=make)
    every, masking = "official:cifar100-75", Masking(attention=0.75)
    yield Wanted(f"fig-6-{BLOCKS}", "cifar100", every, FIGURE_STEPS, masking)


PARTS: dict[str, Callable[[], Iterator[Wanted]]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "fig5": _figure5,
    "fig6": _figure6,
}


def wanted(part: str, only: str = "*") -> list[Wanted]:
    """Return the numbers of a table or figure.

    Args:
        part: One of `PARTS`.
        only: Those whose id matches, with ``*`` for anything.

    Raises:
        ValueError: there is no such part, or nothing in it matches.
    """
    if part not in PARTS:
        raise ValueError(f"nothing is called {part!r}: choose one of {', '.join(PARTS)}")
    numbers = list(PARTS[part]())
    chosen = [number for number in numbers if fnmatch(number.id, only)]
    if not chosen:
        known = ", ".join(number.id for number in numbers)
        raise ValueError(f"nothing in {part} matches {only!r}; there are {known}")
    return chosen


def reproduce(
    numbers: Sequence[Wanted],
    out: str | Path,
    root: str | Path | None = None,
    runs: str | Path = "runs",
    images: int | None = None,
    steps: int | None = None,
    processes: int = 1,
    workers: int = 0,
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Measure what can be measured, number by number.

    Numbers that differ in T alone come out of one simulation, for the largest. Everything is kept
    in a folder, so that a run that was stopped goes on.

    Args:
        numbers: From `wanted`.
        out: Folder to keep finished parts in.
        root: Folder of the data sets you download.
        runs: Folder of the networks that were trained here.
        images: How many test images; ``None`` for all, as the paper has it.
        steps: Simulate for at most so many steps, for a trial.
        processes: See `mstlib.scale.evaluate.evaluate`, as for the next.
        workers: Processes that read images ahead.
        tell: Called with each result as soon as it is known.

    Returns:
        A result for each number, also where something is missing.
    """
    longest: dict[tuple[str, str], int] = {}
    for number in numbers:
        key = number.model, repr(number.masking)
        longest[key] = max(longest.get(key, 0), number.steps)
    results = []
    for number in numbers:
        limit = longest[number.model, repr(number.masking)]
        known = vars(number) | {"masking": str(number.masking) if number.masking else "none"}
        blank = Result(**{name: known[name] for name in known.keys() - {"make"}})
        try:
            model, task = _opened(number, root, Path(runs), images)
            task = replace(task, steps=min(limit, steps or limit) or 1)
            name = f"{number.model} {blank.masking} {images or 'all'} T={task.steps}"
            place = Path(out) / "parts" / re.sub(r"[^A-Za-z0-9.=-]+", "_", name)
            result = _measured(blank, number, model, task, place, processes, workers)
        except (CheckpointError, DataNotFound) as trouble:
            made = number.make and not isinstance(trouble, DataNotFound)
            more = f". Make it by `{number.make}`" if made else ""
            result = replace(blank, missing=f"{trouble}{more}")
        results.append(result)
        tell(result)
    return results


def _opened(
    number: Wanted, root: str | Path | None, runs: Path, images: int | None
) -> tuple[nn.Module, Task]:
    name = number.model
    if name.startswith("runs/"):
        name = str(runs / name.removeprefix("runs/"))
        read_config(name)  # says what is missing
    model, side = open_model(name), events_side(name)
    return model, Task(
        number.data, root, images, 1, number.masking, size=model.input_shape[-1], side=side
    )


def _measured(
    blank: Result,
    number: Wanted,
    model: nn.Module,
    task: Task,
    place: Path,
    processes: int,
    workers: int,
) -> Result:
    """Measure one number; the tally of the same simulation is read again, not made again."""
    if number.steps == 0:
        right, count = correct(model, task, workers)
        measured, watts = 100 * right / count, None
    else:
        tally: Tally = evaluate(model, task, place, processes, workers)
        at = min(number.steps, task.steps)
        measured, count, watts = 100 * tally.accuracy[at - 1], tally.images, power(tally)
        blank = replace(blank, steps=at)
    trial = blank.steps != number.steps
    return replace(
        blank,
        measured=round(measured, 3),
        difference=None if trial or number.paper is None else round(measured - number.paper, 3),
        images=count,
        power=watts,
        stand_in=standins.is_standin(task.data, task.root),
    )


def write(results: Sequence[Result], path: str | Path) -> None:
    """Write results as JSON, and as a table in Markdown beside it.

    Args:
        results: From `reproduce`.
        path: Without a suffix: ``.json`` and ``.md`` are added.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.dumps([asdict(result) for result in results], indent=1)
    write_whole(path.with_name(f"{path.name}.json"), f"{rows}\n".encode())
    write_whole(path.with_name(f"{path.name}.md"), table(results).encode())


def table(results: Sequence[Result]) -> str:
    """Return results as a table in Markdown."""
    lines = [
        "| number | T | masks | images | paper (%) | measured (%) | difference | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        note = r.missing or ("stand-in: means nothing" if r.stand_in else "")
        cells = (
            r.id,
            r.steps or "–",
            r.masking,
            r.images or "–",
            "–" if r.paper is None else f"{r.paper:.2f}",
            "–" if r.measured is None else f"{r.measured:.2f}",
            "–" if r.difference is None else f"{r.difference:+.2f}",
            note.replace("|", "\\|"),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
