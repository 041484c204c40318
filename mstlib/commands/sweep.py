"""``mst sweep``: a model on a data set for many mask ratios."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from mstlib.commands.evaluate import add_data, opened
from mstlib.masking import KINDS, Masking


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "sweep",
        help="simulate a model for many mask ratios and seeds",
        description="Simulate a model on a data set for every ratio, kind of mask and seed, each "
        "kept in --out once it is known. (`mst study students` trains the students of chapter 7.)",
    )
    command.add_argument("model", help="as for evaluate")
    command.add_argument("--data", required=True, help="as for evaluate")
    command.add_argument(
        "--kinds", nargs="+", default=["attention"], choices=KINDS, help="what to mask"
    )
    command.add_argument("--ratios", nargs="+", type=float, default=[0.0, 0.25, 0.5, 0.75])
    command.add_argument(
        "--steps", nargs="+", type=int, default=[64], help="numbers T of time steps"
    )
    command.add_argument("--seeds", type=int, default=1, help="draws of the masks for each ratio")
    command.add_argument(
        "--students",
        metavar="PATTERN",
        help="take the student that was trained with each ratio, as runs/cifar10-{kind}-{percent}/"
        "model; the model is for ratio 0 then",
    )
    command.add_argument("--out", type=Path, required=True, help="folder to keep the cells in")
    add_data(command)
    command.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from functools import cache

    from torch import nn

    from mstlib.scale.grid import Cell, Row, cells, sweep

    grid = cells(options.kinds, options.ratios, range(options.seeds))
    if options.students:
        _student(options.students, "attention", 50)  # before an hour has gone into ratio 0
    told: list[Row] = []
    model, task = opened(
        options, options.model, options.data, Masking(), max(options.steps), seed=0
    )

    @cache
    def student(kind: str, percent: int) -> nn.Module:
        name = _student(options.students, kind, percent)
        return opened(options, name, options.data, Masking(), 1, seed=0)[0]

    def network(cell: Cell) -> nn.Module:
        if not (options.students and cell.ratio):
            return model
        return student(cell.kind, round(100 * cell.ratio))

    def tell(row: Row) -> None:
        if options.json:
            return
        if not told:  # only now is nothing left that could be refused
            heads = "".join(f"{f'T = {t}':>10}" for t in options.steps)
            print(f"{'kind':<10}{'ratio':>6}{'seed':>6}{heads}{'power / α W':>16}")
        told.append(row)
        at = "".join(f"{row.accuracy[t]:>10.4f}" for t in options.steps)
        print(f"{row.kind:<10}{row.ratio:>6.2f}{row.seed:>6}{at}{row.power:>16,.0f}", flush=True)

    rows = sweep(
        network, task, grid, options.steps, options.out, options.processes, options.workers, tell
    )
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))


def _student(pattern: str, kind: str, percent: int) -> str:
    """Return the name of the student of a ratio.

    Raises:
        ValueError: there is more in the pattern to fill in than {kind} and {percent}.
    """
    try:
        return pattern.format(kind=kind, percent=percent)
    except (AttributeError, LookupError, TypeError, ValueError) as trouble:
        raise ValueError(
            f"--students {pattern!r}: only {{kind}} and {{percent}} can be filled in ({trouble})"
        ) from None
