"""What a folder holds against what is asked for, in words."""

from __future__ import annotations

from collections.abc import Mapping


def differences(there: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Name each thing in which two descriptions differ; "" if they are the same.

    Args:
        there: What was written earlier.
        now: What is asked for.
    """
    return "; ".join(
        f"{name}: {_short(there.get(name))} there, {_short(now.get(name))} now"
        for name in sorted(there.keys() | now.keys())
        if there.get(name) != now.get(name)
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
