"""The commands of ``mst``, a module for each group; `mstlib.cli` puts them together.

Each has a function ``add`` that adds its commands to the parser. What a command needs is imported
when it runs.
"""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
