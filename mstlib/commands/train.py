"""``mst train`` and ``mst distil``: shipped models from their seeds, and recipes at full scale."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from mstlib.scale.recipe import ScaleRecipe
    from mstlib.scale.setting import Setting

_MANY = (
    "It runs in many processes under `torchrun -m mstlib.cli …` or, on GPUs, `accelerate launch -m "
    "mstlib.cli …`."
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    command = commands.add_parser(
        "train",
        help="train shipped models again, or a recipe at full scale",
        description="Train shipped models again, or a recipe at full scale. An interrupted "
        f"training goes on when the same command is given again. {_MANY}",
    )
    command.add_argument("models", nargs="*", help="names of shipped models")
    command.add_argument("--all", action="store_true", help="all shipped models")
    command.add_argument("--folder", type=Path, help="where to write them (default: the package)")
    command.add_argument("--recipe", metavar="NAME", help="a recipe at full scale, or its file")
    command.add_argument(
        "--start", metavar="WHAT", help='first weights: "timm", a file, or "none" (the recipe\'s)'
    )
    _add_scale(command, needed=False)
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "distil",
        help="train a masked student of a network at full scale",
        description=f"Train a masked student of a network at full scale (§4.3). {_MANY}",
    )
    command.add_argument("--recipe", metavar="NAME", required=True, help="as for train")
    command.add_argument("--teacher", required=True, help="its folder, as OUT/model")
    command.add_argument(
        "--mask", action="append", default=[], metavar="KIND=RATIO", help="as attention=0.75"
    )
    _add_scale(command, needed=True)
    command.set_defaults(run=_distil)


def _add_scale(command: argparse.ArgumentParser, needed: bool) -> None:
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, required=needed, help="folder of states and results")
    command.add_argument("--root", type=Path, help="folder of the data sets you downloaded")
    command.add_argument(
        "--set", action="append", default=[], metavar="ENTRY=VALUE", help="change the recipe"
    )
    command.add_argument("--updates", type=int, help="at most so many in each phase, for a trial")
    command.add_argument(
        "--precision", default="no", help='"no" (float32), "bf16" or "fp16" in matrix products'
    )
    command.add_argument("--tensorboard", action="store_true", help="write for TensorBoard, too")
    command.add_argument(
        "--images", type=int, default=500, help="test images of the report (default: 500)"
    )


def _train(options: argparse.Namespace) -> None:
    if options.recipe is None:
        _train_shipped(options)
        return
    if options.models or options.all or options.folder:
        raise ValueError("give --recipe with --out, or names of shipped models: not both")
    from mstlib.scale.fit import train

    recipe, setting = _asked(options)
    _finish(train(recipe, setting), recipe, setting, options)


def _distil(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import open_model
    from mstlib.commands.evaluate import parse_masking
    from mstlib.scale.fit import distil

    recipe, setting = _asked(options)
    teacher, masking = open_model(options.teacher), parse_masking(options.mask)
    _finish(distil(recipe, teacher, masking, setting), recipe, setting, options)


def _asked(options: argparse.Namespace) -> tuple[ScaleRecipe, Setting]:
    """Read the recipe with its changes, and the setting."""
    from mstlib.scale.recipe import read
    from mstlib.scale.setting import Setting

    if options.out is None:
        raise ValueError("--recipe needs --out, a folder for states and results")
    if options.images < 1:
        raise ValueError(f"--images must be at least 1, not {options.images}")
    changes = list(options.set)
    if options.updates is not None:
        changes.append(f"updates={options.updates}")
    if getattr(options, "start", None) is not None:
        changes.append(f"start={options.start}")
    recipe = read(options.recipe, changes)
    setting = Setting(
        options.out,
        options.root,
        options.seed,
        options.precision,
        options.tensorboard,
        progress=True,
    )
    return recipe, setting


def _finish(
    model: nn.Module, recipe: ScaleRecipe, setting: Setting, options: argparse.Namespace
) -> None:
    """Save and measure what was trained, in one process."""
    import os

    import torch

    from mstlib.checkpoints.hub import save_model
    from mstlib.scale.report import report

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if int(os.environ.get("RANK", "0")):
        return
    about = {"data": recipe.data, "recipe": recipe.plain(), "seed": setting.seed}
    print(f"network: {save_model(model, setting.out / 'model', about)}", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = report(model, recipe, setting.out, setting.root, options.images, device=device)
    print(
        f"QCFS {found['qcfs']:.4f}, in spikes "
        + ", ".join(f"T = {t}: {value:.4f}" for t, value in found["snn"].items())
    )
    print(f"report: {setting.out / 'report.md'}")


def _train_shipped(options: argparse.Namespace) -> None:
    from mstlib.checkpoints import WEIGHTS, load_shipped, save_shipped
    from mstlib.train import RECIPES, STUDENTS, distil, train

    recipes = RECIPES | STUDENTS  # teachers first
    names = list(recipes) if options.all else options.models
    if not names:
        raise ValueError(
            f"name models to train, or --all; there are: {', '.join(recipes)} (or give --recipe, "
            "for a training at full scale)"
        )
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
