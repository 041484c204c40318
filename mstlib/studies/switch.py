"""One switch for the chapters: networks of a laptop, or those of the paper where a reader has them.

With ``MST_SCALE=paper`` in the environment, the cells of chapters 6, 7, 9 and 10 that study the
network of the digits study the authors' CIFAR-10 network instead, or one that was trained here, on
CIFAR-10 at 224×224. The cells are the same. What a chapter says of numbers holds for the laptop.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mstlib import data
from mstlib.checkpoints import available, data_set, load_shipped, open_model
from mstlib.checkpoints.official import find
from mstlib.checkpoints.state_dicts import CheckpointError
from mstlib.data.checks import check_count
from mstlib.models.swin import SWIN_TINY
from mstlib.scale.task import Task

SCALES = ("laptop", "paper")
SIZE, WIDTH = SWIN_TINY["image_size"], SWIN_TINY["width"]  # of every published network
IMAGES = 100
# The authors publish these two; other students are those of `mst distil`, see `stands_for`.
_OFFICIAL = {"mst-digits": "cifar10", "mst-digits-attention-75": "cifar10-75"}


def scale() -> str:
    """Return "laptop" or "paper", as the environment variable MST_SCALE says.

    Raises:
        ValueError: it says something else.
    """
    chosen = os.environ.get("MST_SCALE", SCALES[0])
    if chosen not in SCALES:
        raise ValueError(f"MST_SCALE must be one of {', '.join(SCALES)}, not {chosen!r}")
    return chosen


def stands_for(name: str) -> str:
    """Return what a shipped model's name stands for at this scale.

    Args:
        name: Of a shipped model. Only those of the digits have a counterpart in the paper.

    Returns:
        What `mstlib.open_model` opens: the name itself; a folder of `mst train` or `mst distil`, as
        ``runs/cifar10-mlp-50/model``, where ``runs`` is the environment variable MST_RUNS; or, if
        there is no such folder, one of the authors' checkpoints, if they published it.

    Raises:
        ValueError: there is no shipped model of that name, or MST_SCALE says something else.
    """
    if name not in available():
        raise ValueError(f"no shipped model {name!r}; available: {', '.join(available())}")
    if scale() == "laptop" or not name.startswith("mst-digits"):
        return name
    own = _out(name) / "model"
    if own.is_dir() or name not in _OFFICIAL:
        return str(own)
    return f"official:{_OFFICIAL[name]}"


def has(name: str) -> bool:
    """Say whether there is a network that a shipped model's name stands for at this scale.

    If there is none, tell what to download or to run.

    Args:
        name: Of a shipped model. All of them are there at the laptop's scale.

    Raises:
        ValueError: as for `stands_for`.
    """
    trouble = _missing(name)
    if trouble:
        print(f"({trouble})")
    return not trouble


def load(name: str) -> nn.Module:
    """Load the network that a shipped model's name stands for at this scale.

    A thin stand-in for one of the authors' checkpoints is loaded with a `StandInWarning`.

    Args:
        name: Of a shipped model.

    Raises:
        ValueError: as for `stands_for`.
        CheckpointError: it is not there, and the message says what to download or to run; or it is
            damaged.
    """
    source = stands_for(name)
    if source == name:
        return load_shipped(name)
    trouble = _missing(name)
    if trouble:
        raise CheckpointError(trouble)
    model = open_model(source)
    if source.startswith("official:") and model.config.width < WIDTH:
        warnings.warn(
            f"{source} is a stand-in, {model.config.width} channels wide instead of {WIDTH}: what "
            "is measured with it means nothing",
            data.StandInWarning,
            stacklevel=2,
        )
    return model


def data_of(name: str) -> str:
    """Return the name of the data set that goes with a shipped model at this scale.

    Args:
        name: Of a shipped model.

    Raises:
        ValueError: as for `stands_for`.
    """
    return data_set(name) if stands_for(name) == name else "cifar10"


def images(name: str, split: str = "test", n: int | None = None) -> tuple[Tensor, Tensor]:
    """Load images for a network at this scale.

    At the paper's scale they are CIFAR-10's, at 224×224 pixels. However many are asked for, it is
    no more than the environment variable MST_IMAGES says (100), nor than there are.

    Args:
        name: Of a shipped model.
        split: "train" or "test".
        n: How many; ``None`` for all.

    Returns:
        Images ``(n, channels, height, width)``, normalised, and labels ``(n,)``.

    Raises:
        ValueError: as for `stands_for`; whatever `mstlib.data.load` refuses; or MST_IMAGES is not a
            number of images.
        DataNotFound: they are to be downloaded first; the message says from where.
    """
    if stands_for(name) == name:
        return data.load(data_of(name), split, n)
    most = _most()
    samples = Task("cifar10", size=SIZE).samples(split)
    wanted = len(samples) if n is None else check_count(n)
    pairs = [samples[i] for i in range(min(wanted, most, len(samples)))]
    return torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])


def expect(holds: bool, what: str) -> None:
    """Assert what a chapter says of the laptop's networks; of others, only tell if it is not so.

    Args:
        holds: Whether it is so.
        what: In words.

    Raises:
        AssertionError: it is not so on the laptop.
        ValueError: MST_SCALE is neither "laptop" nor "paper".
    """
    if scale() == "laptop":
        assert holds, what
    elif not holds:
        print(f"(not so with this network: {what})")


def _out(name: str) -> Path:
    """Return where the counterpart of a model of the digits belongs that is trained here."""
    return Path(os.environ.get("MST_RUNS", "runs")) / name.replace("mst-digits", "cifar10")


def _missing(name: str) -> str:
    """Return what to do if a network is not there, or nothing if it is."""
    source = stands_for(name)
    if source == name or (Path(source) / "config.json").is_file():
        return ""
    trouble = f"no network in {source}"
    if source.startswith("official:"):
        try:
            find(source.removeprefix("official:"))
            return ""
        except CheckpointError as told:
            trouble = str(told)
    return f"MST_SCALE=paper has no {name}: {trouble}; `{_command(name)}` makes one"


def _command(name: str) -> str:
    """Return the command that makes the counterpart of a model of the digits."""
    if name == "mst-digits":
        return f"mst train --recipe cifar10 --out {_out(name)}"
    kind, _, percent = name.removeprefix("mst-digits-").rpartition("-")
    mask = f"--mask {kind}=0.{percent} " if kind else ""
    teacher = stands_for("mst-digits")
    return f"mst distil --recipe cifar10 --teacher {teacher} {mask}--out {_out(name)}"


def _most() -> int:
    """Return how many images MST_IMAGES allows."""
    told = os.environ.get("MST_IMAGES", str(IMAGES))
    try:
        return check_count(int(told))
    except ValueError:
        raise ValueError(
            f"MST_IMAGES must be a whole number of images, at least 1, not {told!r}"
        ) from None
