"""What all tests share: one thread, property tests that try the same examples, one browser."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

# Before PyTorch starts threads, which a process that is forked from a test would wait for in vain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from chromium import CHROMIUM, FLAGS
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The browser of this process; a test opens pages of its own in it.

    There can be no second one: Playwright holds one event loop a thread.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
