"""The command line ``mst``, put together from the groups of `mstlib.commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mstlib.commands import (
    evaluate,
    events,
    export,
    models,
    reproduce,
    standin,
    sweep,
    sweeps,
    throughput,
    train,
)

# In the order of the help text.
GROUPS = (models, evaluate, sweep, reproduce, train, export, standin, throughput, events, sweeps)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``mst``; those of the process by default.

    Returns:
        The exit status: 0, or what the command says of itself, or 2 after bad input (said on
        standard error).
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError) as trouble:
        print(f"mst: {trouble}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mst", description="The Masked Spiking Transformer.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
