"""How the engine's time grows with steps, images, tokens and depth."""

from __future__ import annotations

import numpy as np
from scipy.stats import linregress

from benchmark import networks
from benchmark.contestants import Work, engine
from benchmark.timing import in_turn, medians
from mstlib.models.swin import SwinConfig

# Fixed width and window, one resolution: only what is varied varies.
SHAPE = {"width": 48, "heads": (3,), "window": 4, "patch_size": 4}
FULL = {
    "steps": (16, 32, 64, 128, 256),
    "images": (1, 2, 4, 8, 16, 32, 64),
    "tokens": (16, 64, 256, 1024),
    "blocks": (2, 4, 8, 16),
}
QUICK = {"steps": (2, 4, 8), "images": (1, 2, 4), "tokens": (16, 64, 256), "blocks": (1, 2, 4)}


def measure(against: str, values: tuple[int, ...], repeats: int) -> dict[str, object]:
    """Time the engine at several sizes in turn and fit the slope of log time over log size.

    Args:
        against: What is varied: "steps" (16 images), "images" (64 steps), both on `mst-digits`, or
            "tokens" or "blocks" (8 images, 16 steps) of a random network.
        values: The sizes.
        repeats: Samples of each.
    """
    samples, _ = in_turn({value: _work(against, value) for value in values}, repeats)
    middle = medians(samples)
    fit = linregress(np.log(values), np.log([middle[value] for value in values]))
    times = "".join(f"{1000 * middle[value]:>9.1f}" for value in values)
    print(f"{against:<8}{values!s:<32}{times} ms, slope {fit.slope:.2f} ± {fit.stderr:.2f}")
    return {
        "against": against,
        "values": list(values),
        "samples": [samples[value] for value in values],
        "medians": [middle[value] for value in values],
        "slope": float(fit.slope),
        "error": float(fit.stderr),
    }


def _work(against: str, value: int) -> Work:
    if against == "steps":
        return engine(*networks.load("mst-digits", 16), value)
    if against == "images":
        return engine(*networks.load("mst-digits", value), 64)
    side, depth = (4 * round(value**0.5), 4) if against == "tokens" else (32, value)
    ann = networks.live(SwinConfig(image_size=side, depths=(depth,), **SHAPE))
    return engine(ann, networks.noise(8, ann), 16)


def all_slopes(quick: bool, repeats: int) -> list[dict[str, object]]:
    """Measure against everything."""
    print("\nthe engine's time as one size grows, and its slope, both logarithmic")
    sizes = QUICK if quick else FULL
    return [measure(against, values, repeats) for against, values in sizes.items()]
