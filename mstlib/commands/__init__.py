"""The commands of ``mst``, a module for each group; `mstlib.cli` puts them together.

Each has a function ``add`` that adds its commands to the parser. What a command needs is imported
when it runs.
"""
