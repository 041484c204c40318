"""``mst standin``: a small made-up set in the place of one that has to be downloaded."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "standin", help="write a small made-up set in the files of a published one, to rehearse"
    )
    command.add_argument("data", help="cifar10, cifar100, imagenet, cifar10-dvs, …")
    command.add_argument("--root", type=Path, required=True, help="folder to write it in")
    command.add_argument(
        "--train", type=int, help="images to train on; of imagenet and of events, of each class"
    )
    command.add_argument("--test", type=int, help="the same for testing")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=_standin)


def _standin(options: argparse.Namespace) -> None:
    from mstlib.data import standins

    place = standins.write(options.data, options.root, options.train, options.test, options.seed)
    print(f"{place}: a stand-in for {options.data}; what is measured on it means nothing")
