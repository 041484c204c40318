"""The Masked Spiking Transformer in three lines: load, convert, simulate.

    ann = mstlib.load("mst-digits")
    snn = mstlib.convert(ann)
    run = mstlib.simulate(snn, images, steps=64, masking=Masking(attention=0.75), seed=0)

The rooms that need more than PyTorch (`data`, `models.swin`, `plots`, `explorers`, `exercises`,
`train`) are imported when they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from mstlib._version import __version__
from mstlib.checkpoints import CheckpointError, available, load_official, open_model
from mstlib.checkpoints import load_shipped as load
from mstlib.convert import ConversionError, audit, convert
from mstlib.early_exit import Confidence
from mstlib.masking import Masking
from mstlib.simulate import Run, simulate

__all__ = [
    "CheckpointError",
    "Confidence",
    "ConversionError",
    "Masking",
    "Run",
    "__version__",
    "audit",
    "available",
    "convert",
    "load",
    "load_official",
    "open_model",
    "simulate",
]
_ROOMS = ("data", "exercises", "explorers", "lesions", "plots", "train")


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"mstlib.{name}")
    raise AttributeError(f"module 'mstlib' has no attribute {name!r}")
