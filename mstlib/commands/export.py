"""``mst export``: networks in a form for elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("export", help="write networks in a form for elsewhere")
    command.add_argument("models", nargs="*", help="their names (default: those that pages offer)")
    command.add_argument(
        "--web", action="store_true", required=True, help="as scripts, for a page without Python"
    )
    command.add_argument("--folder", type=Path, help="where to write (default: the explorers')")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from mstlib import web

    for path in web.write(options.folder or web.FOLDER, options.models or web.MODELS):
        print(f"{path}  {path.stat().st_size:,} bytes")
