"""``mst export``: networks in a form for elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mstlib.convert import SpikingNetwork


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("export", help="write networks in a form for elsewhere")
    command.add_argument(
        "models",
        nargs="*",
        metavar="NAME",
        help="any network that can be opened by name; for --web shipped ones (default: those that "
        "pages offer)",
    )
    form = command.add_mutually_exclusive_group(required=True)
    form.add_argument("--web", action="store_true", help="as scripts, for a page without Python")
    for option, (what, explanation, _) in WRITERS.items():
        form.add_argument(f"--{option}", type=Path, metavar=what, help=explanation)
    command.add_argument("--folder", type=Path, help="with --web: where (default: the explorers')")
    command.add_argument(
        "--double",
        action="store_true",
        help="in numbers of 64 bits, with which other tools give the very same spikes",
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    if options.folder and not options.web:
        raise ValueError("--folder goes with --web; every other form names its own place")
    if options.web:
        paths = _web(options)
    else:
        option = next(o for o in WRITERS if getattr(options, o) is not None)
        if len(options.models) != 1:
            raise ValueError(f"--{option} takes the name of one network, not {options.models}")
        try:
            paths = WRITERS[option][2](options.models[0], getattr(options, option), options.double)
        except ModuleNotFoundError as trouble:
            raise ValueError(f'{trouble}: pip install "mstlib[interop]"') from None
    for path in paths:
        print(f"{path}  {path.stat().st_size:,} bytes")


def _web(options: argparse.Namespace) -> list[Path]:
    from mstlib.explorers import page

    if options.double:
        raise ValueError("--double goes not with --web: pages compute in 64 bits as it is")
    return page.write(options.folder or page.FOLDER, options.models or page.MODELS)


def _onnx(name: str, file: Path, double: bool) -> list[Path]:
    from mstlib.interop.onnx import export_onnx

    return [export_onnx(_converted(name, double), file)]


def _nir(name: str, file: Path, double: bool) -> list[Path]:
    from mstlib.interop.nir import export_nir

    return [export_nir(_converted(name, double), file)]


def _converted(name: str, double: bool) -> SpikingNetwork:
    from mstlib.checkpoints import open_model
    from mstlib.convert import convert

    ann = open_model(name)
    return convert(ann.double() if double else ann)


def _hub(name: str, folder: Path, double: bool) -> list[Path]:
    from mstlib.checkpoints import open_model
    from mstlib.checkpoints.hub import save_model

    if double:
        raise ValueError("--double goes not with --hub: weights are kept as they were trained")
    save_model(open_model(name), folder, _about(name))
    return [folder / file for file in ("model.safetensors", "config.json", "README.md")]


def _about(name: str) -> dict[str, object]:
    """Return what is known of a network: from the manifest, or from the folder it lies in."""
    from mstlib.checkpoints import data_set, manifest
    from mstlib.checkpoints.hub import read_config

    entry = manifest().get(name)
    if entry is not None:
        known = {key: v for key, v in entry.items() if key not in ("sha256", "config", "masking")}
        return {"name": name, "data": data_set(name), "license": "apache-2.0", **known}
    if (Path(name) / "config.json").is_file():
        return dict(read_config(name).get("about") or {})
    return {"source": name}


# {option: (what it takes, help, writer of a named network, in float64 or not)}
WRITERS: dict[str, tuple[str, str, Callable[[str, Path, bool], list[Path]]]] = {
    "onnx": ("FILE", "one time step with explicit state, without masks, for ONNX Runtime", _onnx),
    "nir": ("FILE", "a graph of NIR, without masks; its reset is hard, and costs spikes", _nir),
    "hub": ("FOLDER", "weights, configuration and card, in the form of the Hugging Face hub", _hub),
}
