"""What the times were taken on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import mstlib

PACKAGES = ("torch", "numba", "spikingjelly")


def describe() -> dict[str, object]:
    """Return processor, threads, system and versions; nothing that names this one machine."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "system": _system(),
        "python": platform.python_version(),
        "versions": {"mstlib": mstlib.__version__}
        | {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
