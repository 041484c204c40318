"""A real browser on explorers that stand by themselves: any test of this folder may ask for it."""

import shutil
from collections.abc import Iterator

import pytest
from desk import Desk
from explorer_samples import explorers
from playwright.sync_api import Browser
from serving import served

from mstlib.explorers.base import STATIC
from mstlib.explorers.page import write


@pytest.fixture(scope="session")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A folder of pages with all scripts, two networks that they can run, and its server."""
    folder = tmp_path_factory.mktemp("explorers")
    shutil.copytree(STATIC, folder, ignore=shutil.ignore_patterns("models"), dirs_exist_ok=True)
    for view, explorer in explorers().items():
        (folder / f"{view}.mjs").write_text(explorer._esm, encoding="utf-8")
    write(folder / "models", ["mst-digits", "mst-scenes"])
    (folder / "favicon.ico").touch()
    with served(folder) as address:
        yield Desk(browser, folder, address)
