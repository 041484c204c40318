"""A table of numbers as text, one character a number, for a heat map in a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mstlib.explorers.base import require

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LEVELS = 60  # shades of a table; those of one with negative numbers stand for −30 to 30 thirtieths
_GIVEN = {"values", "rows", "columns", "unit"}
_STORED = {"cells", "size", "low", "high", "rows", "columns", "unit"}
_OPTIONAL = {"part", "groups"}


def compact(where: str, tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with its numbers as text.

    A number v becomes the character at ``round(60 v / high)`` of `ALPHABET`, where ``high`` is the
    largest; in a table with negative numbers the one at ``30 + round(30 v / high)``, where ``high``
    is the largest in size and ``low`` is ``-high``.

    Args:
        where: What the table belongs to, for messages.
        tensor: ``values``, rows of equally many finite numbers; ``rows`` and ``columns``, what one
            of each is, such as ``"token"``; ``unit``, what a number says, such as ``"spikes in 32
            steps"``; and optionally ``part``, which part of the whole it is, and ``groups``, how
            many equal groups of columns to frame. A table that was made compact is taken as it is.

    Raises:
        traitlets.TraitError: it is not as above; the message says why.
    """
    require(isinstance(tensor, Mapping), f"{where} must be a mapping, not {tensor!r}")
    keys = tensor.keys() - _OPTIONAL
    if keys == _STORED:
        return dict(tensor)
    require(keys == _GIVEN, f"{where} must have {sorted(_GIVEN)}, not {sorted(keys)}")
    table = [[float(v) for v in row] for row in tensor["values"]]
    numbers = [v for row in table for v in row]
    width = len(table[0]) if table else 0
    even = numbers and all(len(row) == width for row in table)
    require(even, f"{where} must have rows of equal length, one or more")
    require(all(map(math.isfinite, numbers)), f"{where} must hold finite numbers")
    groups = tensor.get("groups", 1)
    require(width % groups == 0, f"{where}: {width} columns are not {groups} groups")
    high = max(map(abs, numbers))
    low = -high if min(numbers) < 0 else 0.0
    zero, span = (LEVELS // 2, LEVELS // 2) if low else (0, LEVELS)
    cells = "".join(ALPHABET[zero + round(span * v / (high or 1))] for v in numbers)
    rest = {key: value for key, value in tensor.items() if key != "values"}
    ends = {"low": float(f"{low:.3g}"), "high": float(f"{high:.3g}")}
    return {"cells": cells, "size": [len(table), width], **ends, **rest}
