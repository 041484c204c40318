"""Trained networks as files: the shipped ones, the authors', folders, and the hub.

No file is ever unpickled into code.
"""

from mstlib._rooms import rooms
from mstlib.checkpoints.official import load_official
from mstlib.checkpoints.shipped import (
    WEIGHTS,
    available,
    data_set,
    load_shipped,
    manifest,
    open_model,
    save_shipped,
)
from mstlib.checkpoints.state_dicts import CheckpointError

__all__ = [
    "WEIGHTS",
    "CheckpointError",
    "available",
    "data_set",
    "load_official",
    "load_shipped",
    "manifest",
    "open_model",
    "save_shipped",
]
__getattr__ = rooms(__name__, __path__)
