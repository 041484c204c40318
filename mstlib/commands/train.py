"""``mst train``: shipped models, again from their seeds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("train", help="train shipped models again, from their seeds")
    command.add_argument("models", nargs="*", help="their names")
    command.add_argument("--all", action="store_true", help="all of them")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--folder", type=Path, help="where to write (default: the package)")
    command.set_defaults(run=_train)


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
