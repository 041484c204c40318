"""What lies in a package is imported when it is first used; no other import is needed for it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType


def rooms(package: str, path: Iterable[str]) -> Callable[[str], ModuleType]:
    """Make the ``__getattr__`` of a package, from its ``__name__`` and its ``__path__``."""
    inside = frozenset(module.name for module in pkgutil.iter_modules(path))

    def enter(name: str) -> ModuleType:
        if name in inside:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return enter
