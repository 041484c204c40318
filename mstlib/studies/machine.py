"""What the times were taken on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

import mstlib
from mstlib.scale.cost import processor

PACKAGES = ("torch", "numba", "spikingjelly")


def describe() -> dict[str, object]:
    """Return processor, threads, system and versions; nothing that names this one machine."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "system": _system(),
        "python": platform.python_version(),
        "versions": {"mstlib": mstlib.__version__}
        | {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
