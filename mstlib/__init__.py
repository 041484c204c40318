"""The Masked Spiking Transformer in three lines: load, convert, simulate.

    ann = mstlib.load("mst-digits")
    snn = mstlib.convert(ann)
    run = mstlib.simulate(snn, images, steps=64, masking=Masking(attention=0.75), seed=0)

Every other room (`mstlib.data`, `mstlib.analysis.ledger`, `mstlib.plots` …) is imported when it is
first used; no other import is needed for it.
"""

from mstlib._rooms import rooms
from mstlib._version import __version__
from mstlib.analysis.audit import audit
from mstlib.checkpoints import CheckpointError, available, load_official, open_model
from mstlib.checkpoints import load_shipped as load
from mstlib.convert import ConversionError, convert
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
__getattr__ = rooms(__name__, __path__)
