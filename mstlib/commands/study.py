"""``mst study``: measure again what chapters show."""

from __future__ import annotations

import argparse
from importlib import import_module

STUDIES = {
    "lesions": "train every recipe from three seeds, whole and without attention (chapter 5)",
    "norms": "train briefly with and without norms in the MLP (chapter 3)",
    "students": "train masked students at every ratio (chapter 7)",
    "convnets": "train masked convolutional students at every ratio (chapter 8)",
    "events": "show events stacked, summed or streamed, and mask them (chapter 11)",
    "curves": "draw the live explorer's curves (ten minutes)",
    "table3": "count what masks save on the networks of Table 3 (chapter 9)",
    "counters": "count operations also with SpikingJelly (chapter 9)",
    "neurobench": "count them also with NeuroBench, which is to be installed first (page A4)",
    "full_size": "time the paper's network (chapter 12; a quiet quarter of an hour)",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    about = "measure again what chapters show; what is stored already is kept"
    command = commands.add_parser("study", help=about, description=f"{about}.")
    names = command.add_subparsers(metavar="NAME", dest="study")
    for name, question in STUDIES.items():
        names.add_parser(name, help=question).set_defaults(run=_run)
    command.set_defaults(run=lambda options: command.print_help())


def _run(options: argparse.Namespace) -> None:
    import_module(f"mstlib.studies.{options.study}").run(progress=True)
