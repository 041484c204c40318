"""How much memory a piece of work needs at most, beyond what its process held before it."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")
# To be set before Python starts. By default glibc keeps pieces of freed memory, more or fewer of
# them from one run to the next; with this, large tensors come from the system and go back to it.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def peak_memory(work: Callable[[], object]) -> int:
    """Run some work and return the bytes by which its peak exceeds what was resident before.

    Run the work once before, small, so that compiled code and caches do not count. Elsewhere than
    on Linux the work must also be the largest thing the process has done.
    """
    gc.collect()
    if not STATUS.exists():
        before = _highest()
        work()
        return _highest() - before
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # free memory must not pass for needed memory
        ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    # `ru_maxrss` will not do: a process starts with its parent's, and it never falls. This resets
    # the kernel's other record of the same peak.
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(key + ":"))
    return 1024 * int(line.split()[1])


def _highest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
