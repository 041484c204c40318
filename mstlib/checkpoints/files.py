"""Files that are whole or not there, whenever the process that writes them ends."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whatever stops the process and whoever else writes it."""
    _write(path, content, Path.replace)


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole, unless there is one: that of the first of many writers stays."""
    _write(path, content, _put)


def _write(path: Path, content: bytes, put: Callable[[Path, Path], object]) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _put(partial: Path, path: Path) -> None:
    """Give a file a name if nobody has it."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        pass
    except OSError:  # a file system without second names
        partial.replace(path)
