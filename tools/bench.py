"""Time the engine against a plain loop, SpikingJelly, and the bare matrix products.

Usage: make bench, or python tools/bench.py [--quick]

Prints tables and writes every sample, with medians and ratios, as JSON. Contestants run in one
process and in turn; the numbers of one row can be compared, those of two machines cannot.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "mstlib/studies/results/bench.json"
# (network, images, steps)
FULL = (
    *(("mst-digits", b, t) for b in (1, 8, 64) for t in (16, 64, 256)),
    *(("swin-t", b, t) for b, t in ((1, 4), (1, 16), (8, 4))),
)
QUICK = (("mst-digits", 1, 4), ("mst-digits", 4, 8), ("swin-t small", 1, 2))
MEMORY = (*(("mst-digits", 64, t) for t in (16, 64, 256)), ("swin-t", 8, 4))
QUICK_MEMORY = (("mst-digits", 4, 8),)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="the JSON file to write",
    )
    parser.add_argument("--repeats", type=int, default=5, help="samples of each time (default 5)")
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count(),
        help="threads of every contestant (default: one a core, here %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: to see that it runs, not how fast"
    )
    return parser.parse_args()


def main() -> None:
    """Run everything and write the file."""
    chosen = options()
    # Before PyTorch and Numba are imported, which read these once. The Makefile sets 1 for tests.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    from benchmark import contest, networks, scaling, shares
    from benchmark.contestants import present

    from mstlib.studies import machine

    settings = QUICK if chosen.quick else FULL
    memory = QUICK_MEMORY if chosen.quick else MEMORY
    # The floor keeps nothing. Each of the others takes a process, most of whose time is imports.
    keepers = ["engine"] if chosen.quick else [c for c in present() if c != "floor"]
    names = dict.fromkeys(name for name, _, _ in settings)
    report = {
        "date": datetime.date.today().isoformat(),
        "quick": chosen.quick,
        "repeats": chosen.repeats,
        "machine": machine.describe(),
        "networks": {name: networks.describe(name) for name in names},
        "contests": contest.times(settings, chosen.repeats),
        "shares": shares.measure(*((4, 4) if chosen.quick else (64, 64)), chosen.repeats),
        "memory": contest.memory(memory, keepers),
        "scaling": scaling.all_slopes(chosen.quick, chosen.repeats),
        "masks": contest.masks(*((4, 4) if chosen.quick else (64, 64)), chosen.repeats),
    }
    chosen.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {chosen.out.name}")


if __name__ == "__main__":
    main()
