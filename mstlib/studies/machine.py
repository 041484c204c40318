"""What the times were taken on."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from mstlib._version import __version__
from mstlib.scale.cost import processor

PACKAGES = ("torch", "numba", "spikingjelly")


def describe() -> dict[str, object]:
    """Return processor, threads, system and versions; nothing that names this one machine."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = f"{platform.system()} {platform.release()}"
    versions = {"mstlib": __version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "system": system,
        "python": platform.python_version(),
        "versions": versions,
    }
