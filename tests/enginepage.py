"""A page of a real browser that holds the JavaScript engine and nothing else."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from mstlib.explorers.base import STATIC

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]

# Runs images one after the other, and gives back little beside the numbers to compare.
_RUN = """([name, pixels, size, options]) => {
    const { engine, models } = mstExplorers;
    globalThis.networks ??= {};
    const network = (networks[name] ??= engine.network(models[name]));
    const all = new Float64Array(engine.decode(pixels).buffer);
    return Array.from({ length: all.length / size }, (_, image) => {
        const began = performance.now();
        const shown = all.subarray(image * size, (image + 1) * size);
        const run = network.run({ ...options, image, pixels: shown });
        return run.answer(performance.now() - began);
    });
}"""


@contextmanager
def engine_page() -> Iterator[Page]:
    """Open the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.add_script_tag(path=STATIC / "mst_engine.js")
        yield page
        browser.close()


def run(page: Page, name: str, images: torch.Tensor, **options: object) -> list[dict]:
    """Run a network that the page holds on float64 images ``(B, C, H, W)``; one answer an image."""
    pixels = base64.b64encode(images.double().numpy().astype("<f8").tobytes()).decode()
    return page.evaluate(_RUN, [name, pixels, images[0].numel(), options])


def bits(text: str, steps: int, neurons: int) -> torch.Tensor:
    """Unpack recorded spikes, ``(T, neurons)``, bool."""
    flat = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little")
    return torch.from_numpy(flat[: steps * neurons].reshape(steps, neurons)).bool()
