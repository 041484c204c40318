"""Speed: compiled loops, quicker linear layers, a thread for each batch. Changes no result."""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
