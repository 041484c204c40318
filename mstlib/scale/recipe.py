"""Everything that decides a training at full scale, beside the code and the seed: a small file.

The files in ``recipes/`` say why they hold what they hold. A training has the three parts of the
book's smaller ones (see `mstlib.train`): ReLU, then thresholds from its activations, then QCFS.
Where the paper and its published code part, the recipes follow the paper as it is drawn, as the
book's own networks do: BatchNorm before the head, and residuals that start from the stream.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from mstlib import data
from mstlib.data.events import moving, published
from mstlib.data.events.augment import CHANGES

FOLDER = Path(__file__).parent / "recipes"
EVENT_SETS = (*moving.SETS, *published.SETS)


class RecipeError(ValueError):
    """A recipe has an unknown entry, or a value that makes no sense."""


def _from(default: float, least: float = 0, most: float = math.inf) -> Any:
    """A number of a recipe that may be as small, and as large, as this."""
    return field(default=default, metadata={"from": (least, most)})


def _above_0(default: float) -> Any:
    return field(default=default, metadata={"above": 0})


@dataclass(frozen=True)
class Batch:
    """How the images of an update are gathered.

    Attributes:
        images: Images of an update, over all processes.
        accumulation: Parts that a process works on one after another. BatchNorm sees one part (of
            all processes) at a time.
        workers: Processes that load images, for each process that trains; 0 for none. Has no
            influence on what is learned.
    """

    images: int = _from(1024, 1)
    accumulation: int = _from(1, 1)
    workers: int = _from(8)


@dataclass(frozen=True)
class Augment:
    """How training images are changed. All but `mixup` and `cutmix` act on one image at a time.

    Attributes:
        policy: timm's name of a policy, as "rand-m9-mmax9-mstd0.5-inc1"; "" for none.
        scale: Smallest and largest share of the area that a random crop shows.
        flip: Probability of a mirror image.
        jitter: Strength of changes of colour; timm has none where there is a policy.
        erase: Probability that a rectangle is erased.
        mixup: α of mixup; 0 for none.
        cutmix: α of cutmix; 0 for none.
        smoothing: Label smoothing.
        changes: Changes of neuromorphic data augmentation to draw from, for events.
        intensity: Their N.
        number: How many of them are made to a recording.
    """

    policy: str = "rand-m9-mmax9-mstd0.5-inc1"
    scale: tuple[float, float] = (0.08, 1.0)
    flip: float = _from(0.5, 0, 1)
    jitter: float = _from(0.4)
    erase: float = _from(0.25, 0, 1)
    mixup: float = _from(0.8)
    cutmix: float = _from(1.0)
    smoothing: float = _from(0.1, 0, 0.9)
    changes: tuple[str, ...] = ("roll", "rotate", "shear")
    intensity: float = _above_0(1.0)
    number: int = _from(1)


@dataclass(frozen=True)
class Events:
    """How recordings become frames.

    Attributes:
        frames: Frames of a recording; with two polarities each they are the channels.
        side: Cells of a frame along each side; frames are then enlarged to the network's size.
    """

    frames: int = _from(8, 1)
    side: int = _from(128, 1)


@dataclass(frozen=True)
class Optimiser:
    """What timm's factory makes the optimiser of.

    Attributes:
        name: timm's name of it.
        rate: Highest learning rate.
        weight_decay: On matrices only: not on norms, biases, thresholds and position biases.
        clip: Largest norm of the gradient.
    """

    name: str = "adamw"
    rate: float = _above_0(1e-4)
    weight_decay: float = _from(0.05)
    clip: float = _above_0(5.0)


@dataclass(frozen=True)
class Schedule:
    """What timm's factory makes the schedule of each phase of.

    Attributes:
        name: timm's name of it.
        warmup: Share of a phase's updates in which the rate rises.
        first: Rate at its start, as a share of the highest.
        last: Rate at the end of the phase, as a share of the highest.
    """

    name: str = "cosine"
    warmup: float = _from(0.05, 0, 1)
    first: float = _from(0.01, 0, 1)
    last: float = _from(0.1, 0, 1)


@dataclass(frozen=True)
class Relu:
    """The first phase, with ReLU activations.

    Attributes:
        epochs: How many; 0 where the start has been trained enough.
        rate: Its highest rate, as a share of the optimiser's.
    """

    epochs: int = _from(200)
    rate: float = _above_0(1.0)


@dataclass(frozen=True)
class Qcfs:
    """The second phase, with QCFS activations.

    Attributes:
        epochs: How many.
        rate: Its highest rate, as a share of the optimiser's.
        levels: L of QCFS.
        percentile: Percentile of the ReLU outputs that becomes θ.
        images: Images to measure them on.
        spread: Width of the random rounding (see `mstlib.qcfs.QCFS`).
        score_cap: Upper limit of the θ of attention scores (see `mstlib.train.Recipe`).
        wake: Weight of the penalty on silent attention neurons (see `mstlib.train.Wake`), in all
            phases. Each process asks it of its own images.
    """

    epochs: int = _from(100)
    rate: float = _above_0(0.4)
    levels: int = _from(16, 1, 255)
    percentile: float = _from(99.9, 1, 100)
    images: int = _from(64, 1)
    spread: float = _from(1.0, 0, 1)
    score_cap: float = _above_0(4.0)
    wake: float = _from(0.01)


@dataclass(frozen=True)
class Distil:
    """How a masked student learns (see `mstlib.train.Distillation`).

    Attributes:
        epochs: How many.
        rate: Its highest rate, as a share of the optimiser's.
        temperature: Divides the logits of both before they are compared.
        share: Share of the teacher's answers in the loss.
        draws: Masks drawn for each image.
        content: Weight of a penalty on attention that differs from the teacher's.
    """

    epochs: int = _from(100, 1)
    rate: float = _above_0(0.4)
    temperature: float = _above_0(2.0)
    share: float = _from(0.5, 0, 1)
    draws: int = _from(1, 1)
    content: float = _from(0.0)


@dataclass(frozen=True)
class Keep:
    """What is written down on the way. It has no influence on the result.

    A state is written at the end of every epoch, and between:

    Attributes:
        updates: After so many updates; 0 for no such rule.
        minutes: After so many minutes; 0 for no such rule.
        watched: Test images that the accuracy is measured on after each epoch.
    """

    updates: int = _from(0)
    minutes: float = _from(10.0)
    watched: int = _from(512, 1)


@dataclass(frozen=True)
class ScaleRecipe:
    """All that decides the weights, beside the code, the seed and the number of processes.

    Attributes:
        data: Name of the data set.
        about: One line for the reader.
        start: First weights: "timm" (its Swin-T, downloaded), a file, or "none".
        model: Fields of `mstlib.models.swin.SwinConfig` that differ from Swin-T's at 224 pixels.
        stochastic_depth: Probability that an image skips the last residual branch in training;
            smaller for earlier ones.
        updates: At most so many updates in each phase, for a trial; 0 for no limit.
        batch, augment, events, optimiser, schedule, relu, qcfs, distil, keep: See their classes.
    """

    data: str
    about: str = ""
    start: str = "timm"
    model: dict[str, Any] = field(default_factory=dict)
    stochastic_depth: float = _from(0.2, 0, 0.9)
    updates: int = _from(0)
    batch: Batch = field(default_factory=Batch)
    augment: Augment = field(default_factory=Augment)
    events: Events = field(default_factory=Events)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    relu: Relu = field(default_factory=Relu)
    qcfs: Qcfs = field(default_factory=Qcfs)
    distil: Distil = field(default_factory=Distil)
    keep: Keep = field(default_factory=Keep)

    def __post_init__(self) -> None:
        if self.data not in data.names():
            raise RecipeError(f"data must be one of {', '.join(data.names())}, not {self.data!r}")
        _check_ranges(self)
        least, most = self.augment.scale
        if not 0 < least <= most <= 1:
            raise RecipeError(
                "augment.scale must be two shares of the area, above 0 and at most 1, the smaller "
                f"one first, not {list(self.augment.scale)}"
            )
        unknown = [c for c in self.augment.changes if c not in CHANGES]
        if unknown or self.augment.number > len(self.augment.changes):
            raise RecipeError(
                f"augment.changes must be some of {', '.join(CHANGES)}, and augment.number at most "
                f"their number, not {list(self.augment.changes)} and {self.augment.number}"
            )

    def config(self) -> dict[str, Any]:
        """Return the network's configuration before its thresholds are known (L is ``None``).

        Raises:
            RecipeError: it is not one of a network that can be built.
        """
        from mstlib.models.swin import SWIN_TINY, SwinConfig

        classes = len(data.classes(self.data))
        # Swin-T with BatchNorm, as the paper draws it.
        drawn = {"mlp_norm": False, "final_norm": "batch", "residual": "x"}
        shape = SWIN_TINY | drawn | {"classes": classes}
        if self.data in EVENT_SETS:
            shape |= {"in_channels": 2 * self.events.frames, "reduction": 3}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in self.model.items()}
        try:
            config = SwinConfig(**(shape | values | {"levels": None}))
        except (TypeError, ValueError) as trouble:
            raise RecipeError(f"model: {trouble}") from None
        if config.classes != classes:
            raise RecipeError(
                f"model.classes must be {classes}, the classes of {self.data}, not {config.classes}"
            )
        return asdict(config)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return json.loads(json.dumps(asdict(self)))

    def deciding(self) -> dict[str, Any]:
        """Return, flat, what has an influence on the weights: ``{"optimiser.rate": 1e-4, …}``."""
        flat = {}
        for name, value in self.plain().items():
            if isinstance(value, dict):
                flat |= {f"{name}.{key}": each for key, each in value.items()}
            else:
                flat[name] = value
        return {k: v for k, v in flat.items() if not re.match(r"keep\.|about$|batch\.workers$", k)}


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(source: str | Path, changes: Sequence[str] = ()) -> ScaleRecipe:
    """Read a recipe.

    Args:
        source: One of `names()`, or a TOML file.
        changes: Entries to change, as ``["optimiser.rate=1e-4", "model.width=48"]``, each value
            written as in TOML (a word needs no quotes).

    Raises:
        RecipeError: no such recipe; an unknown entry; or a value of another kind or out of range.
    """
    path = FOLDER / f"{source}.toml" if str(source) in names() else Path(source)
    if not path.is_file():
        raise RecipeError(f"no recipe {str(source)!r}: name a file, or one of {', '.join(names())}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for change in changes:
            _change(table, change)
        return _fill(ScaleRecipe, table, "")
    except (RecipeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
        raise RecipeError(f"recipe {path.name}: {trouble}") from None


def _change(table: dict[str, Any], change: str) -> None:
    """Set one entry of a table that was read."""
    name, equals, text = change.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"a change is written NAME=VALUE, as optimiser.rate=1e-4, not {change!r}")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *outer, last = name.strip().split(".")
    for part in outer:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"unknown entry {name.strip()!r}: {part} is a value, not a table")
    table[last] = value


def _fill(kind: type, table: Mapping[str, Any], place: str) -> Any:
    """Make a dataclass of a table, checking names and kinds."""
    hints = get_type_hints(kind)
    unknown = [name for name in table if name not in hints]
    if unknown:
        where = f"[{place.rstrip('.')}]" if place else "it"
        raise RecipeError(
            f"unknown entry {place + unknown[0]!r}; {where} may have {', '.join(hints)}"
        )
    needed = [f.name for f in fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    missing = [place + name for name in needed if name not in table]
    if missing:
        raise RecipeError(f"it does not say {', '.join(missing)}")
    values = {name: _value(hints[name], value, place + name) for name, value in table.items()}
    return kind(**values)


def _value(kind: Any, value: Any, name: str) -> Any:
    """Return a value from a TOML file as the kind that an entry wants."""
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise RecipeError(f"{name} must be a table, not {value!r}")
        return _fill(kind, value, f"{name}.")
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        count = None if inner[-1] is Ellipsis else len(inner)
        if not isinstance(value, list) or count not in (None, len(value)):
            size = f" of {count}" if count else ""
            raise RecipeError(f"{name} must be a list{size}, not {value!r}")
        return tuple(_value(inner[0], each, name) for each in value)
    if get_origin(kind) is dict:
        kind = dict
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise RecipeError(f"{name} must be {_KINDS[kind]}, not {value!r}")
    return value


_KINDS = {int: "a whole number", float: "a number", str: "a text", dict: "a table"}


def _check_ranges(table: Any, place: str = "") -> None:
    """Refuse a number that is out of its range, in a recipe or a part of one."""
    for entry in fields(table):
        name, value = place + entry.name, getattr(table, entry.name)
        if is_dataclass(value):
            _check_ranges(value, f"{name}.")
        if "from" in entry.metadata:
            least, most = entry.metadata["from"]
            if not least <= value <= most:
                raise RecipeError(f"{name} must be from {least:g} to {most:g}, not {value:g}")
        if "above" in entry.metadata and not value > 0:
            raise RecipeError(f"{name} must be above 0, not {value:g}")
