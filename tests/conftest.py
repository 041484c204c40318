"""What all tests share: one thread, and property tests that try the same examples everywhere."""

import os

# Before PyTorch starts threads, which a process that is forked from a test would wait for in vain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
