"""The measurements themselves: time, memory, and what masks cost; each printed as it comes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from benchmark import networks
from benchmark.contestants import CONTESTANTS, engine, present
from benchmark.memory import ENVIRONMENT
from benchmark.timing import in_turn, medians
from mstlib.masking import Masking

Setting = tuple[str, int, int]  # network, images, steps
MASKINGS = {
    "none": None,
    "attention": Masking(attention=0.5),
    "attention and mlp": Masking(attention=0.5, mlp=0.5),
}


def times(settings: Iterable[Setting], repeats: int) -> list[dict[str, object]]:
    """Time all contestants at each setting."""
    contestants = present()
    print(f"\nmilliseconds, median of {repeats}; in brackets, times the engine's")
    if "spikingjelly" not in contestants:
        print("SpikingJelly is not installed and is left out: make bench installs it")
    print(f"{'network':<13}{'B':>4}{'T':>5}" + "".join(f"{name:>21}" for name in contestants))
    rows = []
    for name, images, steps in settings:
        ann, x = networks.load(name, images)
        works = {c: CONTESTANTS[c](ann, x, steps) for c in contestants}
        samples, logits = in_turn(works, repeats)
        middle = medians(samples)
        answers = {c: out.mean(0).argmax(-1) for c, out in logits.items() if out is not None}
        row = {
            "network": name,
            "images": images,
            "steps": steps,
            "samples": samples,
            "medians": middle,
            "ratios": {c: seconds / middle["engine"] for c, seconds in middle.items()},
            # The contestants must have done the same work.
            "agreement": {
                c: float((a == answers["engine"]).double().mean()) for c, a in answers.items()
            },
            "floor": {"block": works["floor"].block, "ways": works["floor"].ways},
        }
        cells = (f"{1000 * middle[c]:.1f} ({row['ratios'][c]:.2f})" for c in contestants)
        print(f"{name:<13}{images:>4}{steps:>5}" + "".join(f"{cell:>21}" for cell in cells))
        rows.append(row)
    return rows


def memory(settings: Iterable[Setting], contestants: list[str]) -> list[dict[str, object]]:
    """Measure the peak of each contestant's memory, each in a process of its own."""
    print("\npeak of memory in MB, beyond network and images")
    print(f"{'network':<13}{'B':>4}{'T':>5}" + "".join(f"{name:>14}" for name in contestants))
    rows = []
    for name, images, steps in settings:
        peaks = {c: _peak(c, name, images, steps) for c in contestants}
        print(
            f"{name:<13}{images:>4}{steps:>5}"
            + "".join(f"{b / 1e6:>14.0f}" for b in peaks.values())
        )
        rows.append({"network": name, "images": images, "steps": steps, "bytes": peaks})
    return rows


def _peak(contestant: str, network: str, images: int, steps: int) -> int:
    command = [sys.executable, "-m", "benchmark.peak", contestant, network, str(images), str(steps)]
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": path}
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return int(out.stdout)


def masks(images: int, steps: int, repeats: int) -> dict[str, object]:
    """Time the engine with and without random spike masking."""
    ann, x = networks.load("mst-digits", images)
    works = {name: engine(ann, x, steps, masking) for name, masking in MASKINGS.items()}
    samples, _ = in_turn(works, repeats)
    middle = medians(samples)
    ratios = {name: seconds / middle["none"] for name, seconds in middle.items()}
    print(f"\nthe engine with masks, B = {images}, T = {steps}: times that without")
    for name, ratio in ratios.items():
        print(f"  {name:<20}{ratio:.2f}")
    return {
        "network": "mst-digits",
        "images": images,
        "steps": steps,
        "samples": samples,
        "medians": middle,
        "ratios": ratios,
    }
