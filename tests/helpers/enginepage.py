"""A page of a real browser that holds the JavaScript engine and nothing else."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from chromium import CHROMIUM, FLAGS
from playwright.sync_api import Page, sync_playwright

from mstlib.explorers.base import STATIC

# Runs images one after the other on a network that the page holds.
_RUN = """([name, pixels, size, options]) => {
    const { engine, models } = mstExplorers;
    const network = engine.network(models[name]);
    const all = new Float64Array(engine.decode(pixels).buffer);
    return Array.from({ length: all.length / size }, (_, image) => {
        const began = performance.now();
        const shown = all.subarray(image * size, (image + 1) * size);
        const run = network.run({ ...options, image, pixels: shown });
        return run.answer(performance.now() - began);
    });
}"""


class EnginePage:
    """The page, worked on in a thread of its own: Playwright holds one event loop a thread."""

    def __init__(self, page: Page, thread: ThreadPoolExecutor) -> None:
        self.page, self.thread = page, thread

    def add(self, script: str) -> None:
        """Run a script in the page."""
        self.thread.submit(self.page.add_script_tag, content=script).result()

    def evaluate(self, expression: str, argument: object = None) -> object:
        """Return the value of a JavaScript expression."""
        return self.thread.submit(self.page.evaluate, expression, argument).result()

    def run(self, name: str, images: torch.Tensor, **options: object) -> list[dict]:
        """Run a network on images ``(B, C, H, W)``, as float64; one answer an image."""
        pixels = base64.b64encode(images.double().numpy().astype("<f8").tobytes()).decode()
        return self.evaluate(_RUN, [name, pixels, images[0].numel(), options])


@contextmanager
def engine_page() -> Iterator[EnginePage]:
    """Open the page."""
    with ThreadPoolExecutor(1) as thread:
        playwright = thread.submit(sync_playwright().start).result()
        launch = playwright.chromium.launch
        browser = thread.submit(launch, executable_path=CHROMIUM, args=FLAGS).result()
        page = EnginePage(thread.submit(browser.new_page).result(), thread)
        page.add((STATIC / "mst_engine.js").read_text(encoding="utf-8"))
        yield page
        thread.submit(browser.close).result()
        thread.submit(playwright.stop).result()


def bits(text: str, steps: int, neurons: int) -> torch.Tensor:
    """Unpack recorded spikes, ``(T, neurons)``, bool."""
    flat = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little")
    return torch.from_numpy(flat[: steps * neurons].reshape(steps, neurons)).bool()
