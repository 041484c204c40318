"""``mst list``: the shipped models."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("list", help="name the shipped models")
    command.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import manifest

    for name, entry in sorted(manifest().items()):
        recipe = entry["recipe"]
        about = f"data: {recipe['data']}" if "data" in recipe else f"student of {recipe['teacher']}"
        print(f"{name}  {about}, seed {entry['seed']}")
