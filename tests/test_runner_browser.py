"""The live explorer with no kernel: the page answers what PyTorch would, quickly, and lets go."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from enginepage import CHROMIUM, FLAGS
from playwright.sync_api import Page, sync_playwright

from mstlib import web
from mstlib.explorers import NetworkExplorer
from mstlib.explorers.base import STATIC

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
NO_WORKER = "globalThis.Worker = class { constructor() { throw new Error('none here'); } };"
LEVEL = 16  # ink of a full field


class Desk:
    """Opens a page with one explorer, from a file; everything happens in one thread."""

    def __init__(self, folder: Path, thread: ThreadPoolExecutor) -> None:
        self.folder, self.thread = folder, thread
        self.playwright = self.do(sync_playwright().start)
        self.browser = self.do(
            self.playwright.chromium.launch, executable_path=CHROMIUM, args=FLAGS
        )

    def do(self, function: Callable, *args: object, **kwargs: object) -> object:
        return self.thread.submit(function, *args, **kwargs).result()

    @contextmanager
    def open(self, explorer: NetworkExplorer, first: str = "") -> Iterator[Page]:
        """Call within `do`. Faults of the page fail the test."""
        (self.folder / "page.html").write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Live</title>'
            f'<link rel="stylesheet" href="explorers.css"><script>{first}</script>'
            f'<main>{explorer.to_html()}</main><script src="mst_host.js"></script>',
            encoding="utf-8",
        )
        context = self.browser.new_context(viewport={"width": 1280, "height": 1000})
        page, faults = context.new_page(), []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.goto((self.folder / "page.html").as_uri())
        page.evaluate("mstExplorers.start()")
        answer(page)
        yield page
        context.close()
        assert not faults


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    web.write(folder / "models", ["mst-digits", "mst-scenes"])
    with ThreadPoolExecutor(1) as thread:
        desk = Desk(folder, thread)
        yield desk
        desk.do(desk.browser.close)
        desk.do(desk.playwright.stop)


def answer(page: Page) -> dict:
    """Wait for the answer to the present settings, and return it."""
    page.wait_for_function(
        """() => {
            const model = document.querySelector(".mst-widget").mstModel;
            const { key } = model.get("answer") ?? { key: "{}" };
            const asked = Object.entries(JSON.parse(key));
            return asked.length > 5 && asked.every(([name, value]) => model.get(name) === value);
        }"""
    )
    return page.evaluate("document.querySelector('.mst-widget').mstModel.get('answer')")


def drive(page: Page, **settings: object) -> dict:
    """Assign to settings as a kernel would; return the answer."""
    page.evaluate(
        """(settings) => {
            const model = document.querySelector(".mst-widget").mstModel;
            for (const [name, value] of Object.entries(settings)) model.set(name, value);
        }""",
        settings,
    )
    return answer(page)


def same(page: dict, python: dict) -> None:
    """Compare two answers: numbers to 1e-9, spikes and pictures to the bit."""
    for name in ("key", "classes", "pictures", "layers", "sides", "picture"):
        assert page[name] == python[name], name
    for run in ("masked", "unmasked"):
        mine, other = page[run], python[run]
        for name in ("emitted", "delivered", "spikes"):
            assert mine[name] == other[name], (run, name)
        for name in ("logits", "attention"):
            assert np.array(mine[name]) == pytest.approx(np.array(other[name]), abs=1e-9), name
        assert mine["totals"] == pytest.approx(other["totals"], rel=1e-12)
        counted = {layer: n for layer, n in other["additions"].items() if n}
        assert {layer: n for layer, n in mine["additions"].items() if n} == counted


SETTINGS = [
    {"ratio": 0.5},
    {"ratio": 0, "mlp_ratio": 0},
    {"ratio": 0.75, "mlp_ratio": 0.25, "seed": 7, "picture": 3, "block": 1},
    {"ratio": 0.25, "layer": "layers.1.blocks.0.mlp.fc1_if", "block": 2, "steps": 5},
    {"ratio": 0.95, "layer": "patch_embed.proj_if", "block": 0, "picture": 49},
    {"ratio": 0.5, "drawing": "0" * 20 + "gg8" + "0" * 5 + "4g2" + "0" * 33},
]


@pytest.mark.parametrize("first", ["", NO_WORKER], ids=["worker", "no worker"])
def test_the_page_answers_what_pytorch_does(desk, first):
    def run() -> None:
        with desk.open(NetworkExplorer(), first) as page:
            for settings in SETTINGS:
                explorer = NetworkExplorer(**settings)
                shown = {name: getattr(explorer, name) for name in settings}
                rest = {n: getattr(NetworkExplorer(), n) for n in SETTINGS[2] | SETTINGS[5]}
                rest |= {"layer": explorer.layer, "steps": explorer.steps}
                same(drive(page, **(rest | shown)), explorer.compute())

    desk.do(run)


def test_another_network_reads_its_own_pictures(desk):
    def run() -> None:
        with desk.open(NetworkExplorer("mst-scenes", picture=2)) as page:
            same(answer(page), NetworkExplorer("mst-scenes", picture=2).compute())

    desk.do(run)
