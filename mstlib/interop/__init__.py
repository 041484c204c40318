"""Networks for other people's tools, and what these make of them.

Each module imports its tool when it is used; ``pip install "mstlib[interop]"`` brings them all.
"""
