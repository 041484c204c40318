"""``mst throughput``: images a second of this machine, in training and in simulation."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "throughput",
        help="measure images a second on this machine, in training and in simulation",
        description="Measure images a second of training and of simulation, on the GPU if there "
        "is one. Without a model: the paper's network at 224 x 224 with random weights.",
    )
    command.add_argument("model", nargs="?", help="as for evaluate (default: the paper's network)")
    command.add_argument("--batch", type=int, default=64, help="images at a time (default 64)")
    command.add_argument("--steps", type=int, default=64, help="time steps T (default 64)")
    command.add_argument("--repeats", type=int, default=3, help="batches to measure (default 3)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_throughput)


def _throughput(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import open_model
    from mstlib.models.swin import swin_tiny
    from mstlib.scale.cost import throughput

    model = swin_tiny() if options.model is None else open_model(options.model)
    found = throughput(model, options.batch, options.steps, options.repeats)
    if options.json:
        print(json.dumps(asdict(found)))
        return
    threads = f", {found.threads} threads" if found.threads else ""
    print(f"{found.device}{threads}, batches of {found.batch}")
    print(f"  training    {found.training:>10.3g} images a second")
    print(f"  simulation  {found.simulation:>10.3g} images a second, T = {found.steps}")
