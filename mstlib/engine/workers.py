"""Threads that work on one network side by side: on how much at once, and in what memory."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from queue import SimpleQueue
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

# Pixels (times images, times steps) of a chunk, and images of a batch: the quickest we measured.
# With more, the activations leave the processor's cache; with fewer, calls cost more than work.
_CHUNK_PIXELS = 2**18
_BATCH = 16
_DEVICE = 16  # times as much at once on a device that is not the processor; not measured
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


class Replicable(Protocol):
    """A network that can be copied for another thread."""

    def replica(self) -> Self:
        """Return a copy that shares all weights and has a state of its own."""


N = TypeVar("N", bound=Replicable)
R = TypeVar("R")


def sizes(
    images: Tensor, batch_size: int | None, chunk: int | None, watched: bool
) -> tuple[int, int, int]:
    """Choose what is not given: images of a batch, steps of a chunk; and batches side by side."""
    on_processor = images.device.type == "cpu"
    threads = torch.get_num_threads() if on_processor and not watched else 1
    scale = 1 if on_processor else _DEVICE
    rows = max(1, _CHUNK_PIXELS * scale // images.shape[-2:].numel())
    batch_size = batch_size or min(_BATCH * scale, rows, math.ceil(len(images) / threads))
    return batch_size, chunk or max(1, rows // min(batch_size, len(images))), threads


def side_by_side(
    network: N,
    job: Callable[[N, int], R],
    firsts: range,
    threads: int,
) -> list[R]:
    """Do a job for each batch: on several threads, each with a network and one core of its own."""
    threads = min(threads, len(firsts))
    if threads == 1:
        return [job(network, first) for first in firsts]
    free: SimpleQueue[N] = SimpleQueue()
    for worker in (network, *(network.replica() for _ in range(threads - 1))):
        free.put(worker)

    def work(first: int) -> R:
        worker = free.get()
        try:
            return job(worker, first)
        finally:
            free.put(worker)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            return list(pool.map(work, firsts))
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> None:
    """Ask the C library to keep the memory that a chunk frees, for the next chunk.

    By default glibc gives large blocks back to the system at once, and gets them again page by
    page, each filled with zeros: on small networks that can take longer than the arithmetic. Who
    has set glibc's own variables keeps them.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the greatest that glibc takes
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def is_watched(network: nn.Module) -> bool:
    """Tell whether hooks wait for the layers of a network: they expect batches in their order."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
