"""Where the book measures: each study one file, one place for its results."""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
