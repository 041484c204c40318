"""What a spiking network does: its errors, its operations, its signals, what it looks at."""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
