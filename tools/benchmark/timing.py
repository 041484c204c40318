"""Seconds, taken in turn: a machine that slows down for a while slows all contestants."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable


def in_turn(works: dict[Hashable, Callable], repeats: int) -> tuple[dict, dict]:
    """Call each once to warm up, then all of them in turn (A B C, A B C, …), `repeats` times.

    Returns:
        ``(samples, results)``: the seconds of each call after the first, ``{name: [seconds]}``,
        and what the first call of each gave.
    """
    results = {name: work() for name, work in works.items()}
    samples: dict[Hashable, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            samples[name].append(time.perf_counter() - start)
    return samples, results


def medians(samples: dict[Hashable, list[float]]) -> dict[Hashable, float]:
    """Return the median of each."""
    return {name: statistics.median(seconds) for name, seconds in samples.items()}
