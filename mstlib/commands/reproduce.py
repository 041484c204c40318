"""``mst reproduce``: the paper's tables and figures at full size, as far as data are there."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

PARTS = ("table1", "table2", "table3", "fig5", "fig6")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "reproduce",
        help="measure the numbers of a table or figure of the paper at full size",
        description="Measure the numbers of a table or figure at full size, and write them beside "
        "the paper's. What is missing is named, with where to download it or how to make it; the "
        "exit status is 1 then.",
    )
    command.add_argument("part", choices=PARTS)
    command.add_argument("--only", default="*", metavar="PATTERN", help="ids, as 't1-cifar10-*'")
    command.add_argument("--root", help="folder of the data sets")
    command.add_argument("--runs", default="runs", help="folder of networks trained here")
    command.add_argument("--out", type=Path, default=Path("reproduced"), help="where to write")
    command.add_argument("--images", type=int, help="how many test images (default: all)")
    command.add_argument("--steps", type=int, help="at most so many time steps, for a trial")
    command.add_argument(
        "--processes", type=int, default=1, help="how many to start, of one thread each"
    )
    command.add_argument("--workers", type=int, default=0, help="processes that read images")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    from mstlib.scale.reproduce import Result, reproduce, wanted, write

    def tell(result: Result) -> None:
        if options.json:
            return
        paper = "curve" if result.paper is None else f"{result.paper:.2f} %"
        found = f"missing: {result.missing}"
        if result.measured is not None:
            found = (
                f"measured {result.measured:.2f} % at T = {result.steps} on {result.images} images"
            )
            found += ", of a stand-in: means nothing" if result.stand_in else ""
        print(f"{result.id}: paper {paper}, {found}", flush=True)

    results = reproduce(
        wanted(options.part, options.only),
        options.out,
        options.root,
        options.runs,
        options.images,
        options.steps,
        options.processes,
        options.workers,
        tell,
    )
    write(results, options.out / options.part)
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print(f"{options.out / options.part}.md and .json")
    return int(any(result.missing for result in results))
