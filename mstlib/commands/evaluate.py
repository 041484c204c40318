"""``mst evaluate``: a network on a data set, in spikes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mstlib.masking import KINDS, Masking


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("evaluate", help="simulate a model on a data set")
    command.add_argument("model", help="a shipped model, or a file in the authors' layout")
    command.add_argument(
        "--data", required=True, help="data set: digits, scenes, cifar10, cifar10-dvs, …"
    )
    command.add_argument("--root", help="folder of a data set that is not built in")
    command.add_argument("--images", type=int, help="how many test images (default: all)")
    command.add_argument("--steps", type=int, default=64, help="time steps T (default 64)")
    command.add_argument("--seed", type=int, default=0, help="seed of the masks")
    command.add_argument("--size", type=int, help="resize images to this many pixels a side")
    command.add_argument(
        "--levels", type=int, default=16, help="L of a file in the authors' layout"
    )
    command.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="KIND=RATIO",
        help="mask spikes: attention=0.5, mlp=0.25 or conv=0.5; may be repeated",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from torch.nn.functional import interpolate

    import mstlib
    from mstlib import data
    from mstlib.energy import spikes_by_module

    masking = parse_masking(options.mask)
    images, labels = data.load(options.data, "test", options.images, root=options.root)
    if options.size is not None:
        if options.size < 1:
            raise ValueError(f"--size takes a number of pixels >= 1, not {options.size}")
        images = interpolate(images, (options.size, options.size), mode="bilinear")
    if Path(options.model).suffix in (".pth", ".safetensors"):
        ann = mstlib.load_official(options.model, images.shape[-1], options.levels)
    else:
        ann = mstlib.load(options.model)
    run = mstlib.simulate(mstlib.convert(ann), images, options.steps, masking, options.seed)
    answers, asked = run.logits.shape[-1], len(data.classes(options.data))
    if answers != asked:
        print(
            f"mst: {options.model} tells {answers} classes apart and {options.data} has {asked}: "
            "its accuracy there says nothing",
            file=sys.stderr,
        )
    report = {
        "model": options.model,
        "data": options.data,
        "images": len(labels),
        "steps": options.steps,
        "mask": {kind: getattr(masking, kind) for kind in KINDS if getattr(masking, kind)},
        "seed": options.seed,
        "accuracy_by_step": [round(a, 6) for a in run.accuracy(labels).tolist()],
        "spikes_by_module": spikes_by_module(run),
        "power_alpha_watts": run.power(),
    }
    if options.json:
        print(json.dumps(report))
        return
    steps = sorted({2**k for k in range(16) if 2**k < options.steps} | {options.steps})
    print(f"{options.model} on {len(labels)} images of {options.data}, {masking}")
    for t in steps:
        print(f"  T = {t:<4} accuracy {report['accuracy_by_step'][t - 1]:.3f}")
    for module, spikes in report["spikes_by_module"].items():
        print(f"  {module:<10} {spikes / len(labels):>12,.0f} spikes an image")
    print(f"  power (Eq. 10, per step): {report['power_alpha_watts']:,.0f} α watts")


def parse_masking(words: Sequence[str]) -> Masking:
    """Read ``["attention=0.5", "mlp=0.25"]`` as a `Masking`.

    Raises:
        ValueError: an unknown kind, or a ratio that is not a number in [0, 1).
    """
    ratios: dict[str, float] = {}
    for word in words:
        kind, _, ratio = word.partition("=")
        if kind not in KINDS:
            raise ValueError(f"--mask takes KIND=RATIO with KIND one of {KINDS}, not {word!r}")
        try:
            ratios[kind] = float(ratio)
        except ValueError:
            raise ValueError(f"--mask {word}: {ratio!r} is not a number") from None
    return Masking(**ratios)
