"""The processes of one launch, which wait for each other."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from pathlib import Path

from torch import distributed

from mstlib.scale.kept import EvaluationError

_PATIENCE = timedelta(days=365)  # one process may have much more left to do than another


def place() -> tuple[int, int]:
    """Return this process's number in its launch, and how many there are: 0 and 1 without one."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def wait(folder: Path) -> None:
    """Wait until every process of the launch has come so far.

    Args:
        folder: Where the work is kept, for the message.

    Raises:
        EvaluationError: one of them has ended.
    """
    if place()[1] == 1:
        return
    try:
        distributed.barrier(_group())
    except RuntimeError as trouble:
        reason = str(trouble).split("\n")[0]
        raise EvaluationError(
            f"another process of this launch has ended, and its own message says why ({reason}); "
            f"what is finished is kept in {folder}, and the same command goes on from there"
        ) from None


@cache  # a sweep evaluates many times
def _group() -> distributed.ProcessGroup:
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.new_group(backend="gloo", timeout=_PATIENCE)
