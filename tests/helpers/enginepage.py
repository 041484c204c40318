"""A page of a real browser that holds the JavaScript engine and nothing else."""

import base64

import numpy as np
import torch
from playwright.sync_api import Browser

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
    """The page."""

    def __init__(self, browser: Browser) -> None:
        self.page = browser.new_page()
        self.evaluate = self.page.evaluate
        self.add((STATIC / "mst_engine.js").read_text(encoding="utf-8"))

    def add(self, script: str) -> None:
        """Run a script in the page."""
        self.page.add_script_tag(content=script)

    def run(self, name: str, images: torch.Tensor, **options: object) -> list[dict]:
        """Run a network on images ``(B, C, H, W)``, as float64; one answer an image."""
        pixels = base64.b64encode(images.double().numpy().astype("<f8").tobytes()).decode()
        return self.evaluate(_RUN, [name, pixels, images[0].numel(), options])


def bits(text: str, steps: int, neurons: int) -> torch.Tensor:
    """Unpack recorded spikes, ``(T, neurons)``, bool."""
    flat = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little")
    return torch.from_numpy(flat[: steps * neurons].reshape(steps, neurons)).bool()
