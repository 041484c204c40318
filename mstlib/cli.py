"""The command line ``mst``, put together from the groups of `mstlib.commands`."""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from mstlib.commands import (
    evaluate,
    events,
    export,
    models,
    reproduce,
    standin,
    study,
    sweep,
    throughput,
    train,
)

# In the order of the help text.
GROUPS = (models, evaluate, sweep, reproduce, train, export, standin, throughput, events, study)
GO_ON = ("evaluate", "sweep", "reproduce", "train", "distil")  # where they stopped, given --out


class _Ended(KeyboardInterrupt):
    """The system, or a launcher, asks this process to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``mst``; those of the process by default, which is then taken to
            run nothing else: a signal to end it ends the command, and a warning is one line.

    Returns:
        The exit status: 0, or what the command says of itself, or 2 after bad input (said on
        standard error), or 130 or 143 if it was interrupted or asked to end.
    """
    if arguments is None:
        signal.signal(signal.SIGTERM, _end)
        warnings.formatwarning = _warned
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError) as trouble:
        print(f"mst: {trouble}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        goes_on = options.command in GO_ON and options.out is not None
        more = f"; the same command goes on with what is in {options.out}" if goes_on else ""
        print(f"mst: stopped{more}", file=sys.stderr)
        return 143 if isinstance(stop, _Ended) else 130


def _warned(message: Warning | str, *where: object, **more: object) -> str:
    return f"mst: {message}\n"


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mst", description="The Masked Spiking Transformer.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for group in GROUPS:
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
