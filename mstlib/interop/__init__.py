"""Networks for other people's tools, and what these make of them.

Each module imports its tool when it is used; ``pip install "mstlib[interop]"`` brings all of them
but NeuroBench, which asks for a package under the GPL (see `mstlib.interop.neurobench`).
"""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
