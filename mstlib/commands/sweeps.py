"""``mst study lesions``, ``sweeps`` and ``backbones``: the long measurements that chapters show."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    command = commands.add_parser(
        "lesions", help="train every recipe from three seeds, whole and with lesions"
    )
    command.set_defaults(run=_lesions)

    command = commands.add_parser(
        "sweeps", help="train masked students for every ratio, and measure them"
    )
    command.set_defaults(run=_sweeps)

    command = commands.add_parser(
        "backbones", help="train masked convolutional students for every ratio, and measure them"
    )
    command.set_defaults(run=_backbones)


def _lesions(options: argparse.Namespace) -> None:
    from mstlib.studies.lesions import run_controls

    run_controls(progress=True)


def _sweeps(options: argparse.Namespace) -> None:
    from mstlib.studies.students import TEACHERS, run_sweep, run_whole_test

    for teacher in TEACHERS:
        run_sweep(teacher, progress=True)
    run_whole_test()


def _backbones(options: argparse.Namespace) -> None:
    from mstlib.studies.convnets import run_sweep

    run_sweep(progress=True)
