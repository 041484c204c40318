"""``mst evaluate``: a network on a data set, in spikes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mstlib.masking import KINDS, Masking

if TYPE_CHECKING:
    from torch import nn

    from mstlib.scale.task import Task


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "evaluate",
        help="simulate a model on a data set",
        description="Simulate a model on a data set. With --out, an interrupted evaluation goes on "
        "when the same command is given again. For many machines, start it by `torchrun -m "
        "mstlib.cli evaluate …`.",
    )
    command.add_argument(
        "model",
        help="a shipped model; official:NAME, one of the authors' checkpoints; a file in their "
        "layout; a folder with a config.json; or hf:OWNER/NAME",
    )
    command.add_argument(
        "--data", required=True, help="data set: digits, scenes, cifar10, cifar10-dvs, …"
    )
    command.add_argument("--steps", type=int, default=64, help="time steps T (default 64)")
    command.add_argument("--seed", type=int, default=0, help="seed of the masks")
    command.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="KIND=RATIO",
        help="mask spikes: attention=0.5, mlp=0.25 or conv=0.5, or a ratio for each block, as "
        "attention=0.75,0.5,0; may be repeated",
    )
    add_data(command)
    command.add_argument("--out", type=Path, help="folder to keep finished parts in")
    command.set_defaults(run=_evaluate)


def add_data(command: argparse.ArgumentParser) -> None:
    """Add what all commands that simulate a data set take."""
    command.add_argument("--root", help="folder of a data set that is not built in")
    command.add_argument("--images", type=int, help="how many test images (default: all)")
    command.add_argument(
        "--size",
        type=int,
        help="pixels of an image along each side (default: of a downloaded set, what the network "
        "takes)",
    )
    command.add_argument(
        "--side",
        type=int,
        help="cells of a frame of events along each side (default: as the network was trained, or "
        "32)",
    )
    command.add_argument(
        "--levels", type=int, default=16, help="L of a file in the authors' layout"
    )
    command.add_argument(
        "--processes", type=int, default=1, help="how many to start, of one thread each"
    )
    command.add_argument(
        "--workers", type=int, default=0, help="processes that read images, for each of these"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def opened(
    options: argparse.Namespace, name: str, data: str, masking: Masking, steps: int, seed: int
) -> tuple[nn.Module, Task]:
    """Open a network, and say what it is to be judged by.

    Args:
        options: Those of `add_data`.
        name: Of the network.
        data: Of the data set.
        masking: Masks of the simulation.
        steps: T.
        seed: Of the masks.
    """
    from mstlib.checkpoints import open_model
    from mstlib.checkpoints.hub import events_side
    from mstlib.data import standins
    from mstlib.data.checks import check_size
    from mstlib.scale.task import Task

    size, side = options.size, options.side
    if size is not None:
        check_size(size)
    model = open_model(name, size, options.levels)
    if size is None and data in standins.names():
        size = getattr(model, "input_shape", (None,))[-1]
    if side is None:
        side = events_side(name)
    task = Task(data, options.root, options.images, steps, masking, seed, size, side)
    return model, task


def _evaluate(options: argparse.Namespace) -> None:
    from mstlib import data
    from mstlib.data import standins
    from mstlib.energy import power, spikes_by_module
    from mstlib.scale.evaluate import evaluate

    masking = parse_masking(options.mask)
    model, task = opened(options, options.model, options.data, masking, options.steps, options.seed)
    watched = sys.stderr.isatty() and not options.json
    tally = evaluate(model, task, options.out, options.processes, options.workers, watched)
    if int(os.environ.get("RANK", "0")):
        return  # the first process of a launch tells the result
    answers, asked = tally.classes, len(data.classes(options.data))
    if answers != asked:
        print(
            f"mst: {options.model} tells {answers} classes apart and {options.data} has {asked}: "
            "its accuracy there says nothing",
            file=sys.stderr,
        )
    report = {
        "model": options.model,
        "data": options.data,
        "stand_in": standins.is_standin(options.data, options.root),
        "images": tally.images,
        "steps": options.steps,
        "mask": {kind: getattr(masking, kind) for kind in KINDS if getattr(masking, kind)},
        "seed": options.seed,
        "accuracy_by_step": [round(a, 6) for a in tally.accuracy],
        "spikes_by_module": spikes_by_module(tally),
        "power_alpha_watts": power(tally),
    }
    if options.json:
        print(json.dumps(report))
        return
    steps = sorted({2**k for k in range(16) if 2**k < options.steps} | {options.steps})
    print(f"{options.model} on {tally.images} images of {options.data}, {masking}")
    for t in steps:
        print(f"  T = {t:<4} accuracy {report['accuracy_by_step'][t - 1]:.3f}")
    for module, spikes in report["spikes_by_module"].items():
        print(f"  {module:<10} {spikes / tally.images:>12,.0f} spikes an image")
    print(f"  power (Eq. 10, per step): {report['power_alpha_watts']:,.0f} α watts")


def parse_masking(words: Sequence[str]) -> Masking:
    """Read ``["attention=0.5", "mlp=0.25"]`` as a `Masking`.

    A ratio may be a list with one for each block, as ``attention=0.75,0.75,0``.

    Raises:
        ValueError: an unknown kind, or a ratio that is not a number in [0, 1).
    """
    ratios: dict[str, float | tuple[float, ...]] = {}
    for word in words:
        kind, _, ratio = word.partition("=")
        if kind not in KINDS:
            raise ValueError(f"--mask takes KIND=RATIO with KIND one of {KINDS}, not {word!r}")
        try:
            each = tuple(float(number) for number in ratio.split(","))
            ratios[kind] = each if len(each) > 1 else each[0]
        except ValueError:
            raise ValueError(f"--mask {word}: {ratio!r} is not a number") from None
    return Masking(**ratios)
