"""The command line: ``mst list``, ``evaluate``, ``events``, ``train``, and several sweeps."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mstlib.masking import KINDS, Masking


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``mst``; those of the process by default.

    Returns:
        The exit status: 0, or 2 after bad input (said on standard error).
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as trouble:
        print(f"mst: {trouble}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mst", description="The Masked Spiking Transformer.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="name the shipped models")
    command.set_defaults(run=_list)

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

    command = commands.add_parser("events", help="look at files of event cameras")
    tools = command.add_subparsers(required=True, metavar="COMMAND")
    command = tools.add_parser("info", help="say what a file holds, and draw it")
    command.add_argument("file", type=Path)
    command.add_argument("--format", help="its format (default: told from the file)")
    command.add_argument("--png", type=Path, metavar="FILE", help="save the picture there instead")
    command.add_argument("--json", action="store_true", help="print JSON, and no picture")
    command.set_defaults(run=_events_info)
    command = tools.add_parser("convert", help="write the events of a file in another format")
    command.add_argument("file", type=Path)
    command.add_argument("target", type=Path, help="the file to write")
    command.add_argument("--to", required=True, metavar="FORMAT", help="its format")
    command.add_argument("--format", help="format of the first (default: told from the file)")
    command.set_defaults(run=_events_convert)

    command = commands.add_parser("train", help="train shipped models again, from their seeds")
    command.add_argument("models", nargs="*", help="their names")
    command.add_argument("--all", action="store_true", help="all of them")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--folder", type=Path, help="where to write (default: the package)")
    command.set_defaults(run=_train)

    command = commands.add_parser("export", help="write networks in a form for elsewhere")
    command.add_argument("models", nargs="*", help="their names (default: those that pages offer)")
    command.add_argument(
        "--web", action="store_true", required=True, help="as scripts, for a page without Python"
    )
    command.add_argument("--folder", type=Path, help="where to write (default: the explorers')")
    command.set_defaults(run=_export)

    command = commands.add_parser(
        "lesions", help="train every recipe from three seeds, whole and with lesions"
    )
    command.set_defaults(run=_lesions)

    command = commands.add_parser(
        "sweeps", help="train masked students for every ratio, and measure them"
    )
    command.set_defaults(run=_sweeps)

    command = commands.add_parser(
        "backbones", help="train masked convolutional students for every ratio, and measure them"
    )
    command.set_defaults(run=_backbones)
    return parser


def _list(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import manifest

    for name, entry in sorted(manifest().items()):
        recipe = entry["recipe"]
        about = f"data: {recipe['data']}" if "data" in recipe else f"student of {recipe['teacher']}"
        print(f"{name}  {about}, seed {entry['seed']}")


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


def _events_info(options: argparse.Namespace) -> None:
    from mstlib.data.events import examine
    from mstlib.data.events.picture import picture, sketch

    report = examine(options.file, options.format)
    (height, width), events = report.size, report.events
    start = int(events["t"].min()) if len(events) else 0
    facts = {
        "file": str(options.file),
        "format": report.format,
        "height": height,
        "width": width,
        "size_is_the_sensors": report.sensor,
        "events": len(events),
        "start_us": start,
        "duration_us": report.duration,
        "events_per_second": round(report.rate, 3),
        "brighter": round(report.brighter, 6),
        "time_goes_back": report.back,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        back = f"{report.back:,} times" if report.back else "never"
        print(f"{options.file}  {report.format}")
        print(f"  {'sensor' if report.sensor else 'pixels seen':<15} {width} x {height}")
        print(f"  {'events':<15} {len(events):,}")
        print(f"  {'duration':<15} {report.duration / 1e6:,.6f} s, from {start / 1e6:,.6f} s")
        print(f"  {'rate':<15} {report.rate:,.0f} events a second")
        print(f"  {'brighter':<15} {report.brighter:.1%}")
        print(f"  {'time goes back':<15} {back}")
    if options.png:
        from matplotlib.image import imsave

        if not len(events):
            raise ValueError(f"{options.file} holds no events: there is nothing to draw")
        scale = max(1, 512 // max(height, width))
        imsave(options.png, picture(events, report.size).repeat(scale, 0).repeat(scale, 1))
    elif not options.json:
        lines = sketch(events, report.size)
        print("", *(f"  |{line}|" for line in lines), sep="\n")


def _events_convert(options: argparse.Namespace) -> None:
    from mstlib.data.events import read_events, write_events

    events = read_events(options.file, options.format)
    write_events(options.target, events, options.to)
    print(f"{options.target}: {len(events):,} events as {options.to}")


def _train(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import WEIGHTS, load_shipped, save_shipped
    from mstlib.train import RECIPES, STUDENTS, distil, train

    recipes = RECIPES | STUDENTS  # teachers first
    names = list(recipes) if options.all else options.models
    if not names:
        raise ValueError(f"name models to train, or --all; there are: {', '.join(recipes)}")
    for name in names:
        if name not in recipes:
            raise ValueError(f"no recipe {name!r}; there are: {', '.join(recipes)}")
    folder = options.folder or WEIGHTS
    for name in names:
        recipe, more = recipes[name], {"state": Path(".training") / f"{name}-{options.seed}"}
        more["progress"] = True
        if name in STUDENTS:
            model = distil(load_shipped(recipe.teacher), recipe, options.seed, **more)
        else:
            model = train(recipe, options.seed, **more)
        about = {"recipe": asdict(recipe), "seed": options.seed}
        print(f"{name}: {save_shipped(name, model, about, folder)}")


def _export(options: argparse.Namespace) -> None:
    from mstlib import web

    for path in web.write(options.folder or web.FOLDER, options.models or web.MODELS):
        print(f"{path}  {path.stat().st_size:,} bytes")


def _lesions(options: argparse.Namespace) -> None:
    from mstlib.controls import run_controls

    run_controls(progress=True)


def _sweeps(options: argparse.Namespace) -> None:
    from mstlib.sweeps import TEACHERS, run_sweep, run_whole_test

    for teacher in TEACHERS:
        run_sweep(teacher, progress=True)
    run_whole_test()


def _backbones(options: argparse.Namespace) -> None:
    from mstlib.backbones import run_sweep

    run_sweep(progress=True)


if __name__ == "__main__":
    sys.exit(main())
