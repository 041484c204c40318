"""Event time as SNN time: frames stacked, summed or streamed; and masks on a network of events.

The paper stacks the frames of a recording as channels and shows the stack at every step (§4.2). The
alternative it does not try is to show the frames one after another, in the order in which they were
made, so that time in the recording is time in the network, which can answer before it ends.

Question: what is lost when the frames come one after another, and why? How do masks do on events?
Arms: the ways of `Show`, on motions and on digits; slower, in several rounds, in finer frames, and
in random order; masks in attention or MLPs at three ratios.
Seeds: three of the masks. Images: the first 400 recordings of the test split.
Statistic: share of right answers after t steps, with the error of 400 answers; over the masks, mean
± standard deviation; for motions also right against opposite, by chance one half (chapter 11).
Refuted: "the order is read", where shuffling costs nothing; "the loss is unevenness", if it stayed
with more rounds in the same steps, or went with slower ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from mstlib import data
from mstlib.checkpoints import load_shipped, manifest
from mstlib.convert import convert
from mstlib.data.events.frames import film, scaled, stack, summed
from mstlib.data.events.moving import OPPOSITES
from mstlib.energy import power
from mstlib.masking import Masking
from mstlib.simulate import simulate
from mstlib.studies.records import FOLDER, Row, Table

TABLE = Table(FOLDER / "events.json", recipe=("sha256",), lines=True)
MODELS = {"events-motion": "mst-events", "events-digits": "mst-events-digits"}
WAYS = ("stacked", "in turn", "summed", "streamed")
FRAMES = 8
STEPS = (8, 16, 32, 64, 128)
SHORTER = 64  # of the runs with masks, shuffled frames or several rounds
ROUNDS = (2, 4, 8)
RATIOS = (0.25, 0.5, 0.75)
SEEDS = (0, 1, 2)
IMAGES = 400


@dataclass(frozen=True)
class Show:
    """One way to show the recordings of a set to a spiking network.

    Attributes:
        data: Name of the set.
        way: ``"stacked"``: all frames as channels, at every step. ``"in turn"``: to the same
            network the frames one after another, each on its own channels and the others silent,
            so that the mean over the steps is the stack. ``"summed"``: the sum of the frames, at
            every step, to the network that was trained on sums. ``"streamed"``: to that network the
            frames one after another, so that the mean over the steps is the sum.
        steps: T, shared equally among the frames of the two ways that show one after another.
        frames: Slices of equal numbers of events that a recording is cut into.
        rounds: How often the recording is played in these steps, one after another.
        shuffled: The frames of each recording in a random order (of `seed`). In turn, they keep
            their channels.
        attention: Ratio of the masks on Q, K and A.
        mlp: Ratio of the masks in the MLPs.
        seed: Of the order and of the masks.
        images: How many recordings of the test split, the first ones.
    """

    data: str
    way: str
    steps: int
    frames: int = FRAMES
    rounds: int = 1
    shuffled: bool = False
    attention: float = 0.0
    mlp: float = 0.0
    seed: int = 0
    images: int = IMAGES

    def __post_init__(self) -> None:
        if self.data not in MODELS:
            raise ValueError(f"data must be one of {tuple(MODELS)}, not {self.data!r}")
        if self.way not in WAYS:
            raise ValueError(f"way must be one of {WAYS}, not {self.way!r}")
        if self.way in ("stacked", "in turn") and self.frames != FRAMES:
            raise ValueError(f"the network of stacked frames takes {FRAMES}, not {self.frames}")

    @property
    def model(self) -> str:
        """Name of the shipped network that is shown them."""
        return MODELS[self.data] + ("" if self.way in ("stacked", "in turn") else "-summed")


def shows() -> list[Show]:
    """Return all that is measured: the comparison on both sets, then masks on `mst-events`."""
    found = []
    for name in MODELS:
        found += [Show(name, "stacked", max(STEPS)), Show(name, "summed", max(STEPS))]
        for way in ("in turn", "streamed"):
            found += [Show(name, way, t) for t in STEPS]
            found += [Show(name, way, SHORTER, rounds=rounds) for rounds in ROUNDS]
        # As many steps, and at each another frame: the recording cut as finely as can be.
        found += [Show(name, "streamed", t, frames=t) for t in STEPS if t != FRAMES]
        found += [Show(name, way, SHORTER, shuffled=True) for way in WAYS if way != "summed"]
    masked = partial(Show, "events-motion", "stacked", SHORTER)
    kinds = ("attention", "mlp")
    return found + [masked(seed=s, **{k: p}) for k in kinds for p in RATIOS for s in SEEDS]


def results() -> list[Row]:
    """Return the stored results, a row for each `Show`.

    Each row has the fields of `Show`; ``sha256`` of the network's weights; ``accuracy`` ``{t: share
    of right answers after t steps}``, for t in `STEPS` and after each eighth of the T steps (of
    streamed frames: after each eighth of the recording); ``opposites``, the share of right answers
    at the end where only the class and its opposite may be answered (motions only); ``spikes`` an
    image, and ``power`` (Eq. 10, in α watts).
    """
    return TABLE.read()


def shown(show: Show) -> tuple[Tensor, Tensor]:
    """Return what the network is shown, (B, C, H, W) or (B, frames, C, H, W), and the labels."""
    counts, labels = _counts(show.data, show.frames, show.images)
    rows, order = torch.arange(len(counts))[:, None], torch.arange(show.frames)
    if show.shuffled:
        generator = torch.Generator().manual_seed(show.seed)
        order = torch.rand(counts.shape[:2], generator=generator).argsort(1)
    if show.way == "stacked":
        return scaled(counts[rows, order]).flatten(1, 2), labels
    if show.way == "summed":
        return summed(counts), labels
    if show.way == "in turn":
        alone = counts.new_zeros(len(counts), FRAMES, *counts.shape[1:])
        for k in range(FRAMES):
            alone[:, k, k] = FRAMES * scaled(counts)[:, k]
        frames = alone.flatten(2, 3)
    else:
        frames = film(counts)
    return frames[rows, order].repeat(1, show.rounds, 1, 1, 1), labels


def measure(show: Show) -> Row:
    """Simulate one way of showing; return the numbers of a row of `results`."""
    images, labels = shown(show)
    masking = Masking(attention=show.attention, mlp=show.mlp)
    done = simulate(_network(show.model), images, show.steps, masking, show.seed)
    after = done.accuracy(labels)
    eighths = range(show.steps // 8, show.steps + 1, show.steps // 8)
    times = {t for t in STEPS if t <= show.steps} | set(eighths)
    row: Row = {
        "accuracy": {str(t): round(float(after[t - 1]), 4) for t in sorted(times)},
        "spikes": round(sum(done.spike_counts.values()) / len(labels)),
        "power": round(power(done)),
    }
    if show.data == "events-motion":
        row["opposites"] = round(opposites(done.logits.mean(0), labels), 4)
    return row


def opposites(logits: Tensor, labels: Tensor) -> float:
    """Return how often the right motion gets more than its opposite; by chance one half.

    Args:
        logits: ``(B, 8)``.
        labels: ``(B,)``.
    """
    other = torch.empty(len(OPPOSITES) * 2, dtype=torch.long)
    for a, b in OPPOSITES:
        other[a], other[b] = b, a
    rows = torch.arange(len(labels))
    return float((logits[rows, labels] > logits[rows, other[labels]]).double().mean())


def run(progress: bool = False) -> None:
    """Measure everything that has no stored result of the same network yet."""
    hashes = {name: entry["sha256"] for name, entry in manifest().items()}
    TABLE.fill(shows(), lambda s: asdict(s) | {"sha256": hashes[s.model]}, measure, progress)


@lru_cache(maxsize=4)
def _counts(name: str, frames: int, images: int) -> tuple[Tensor, Tensor]:
    return stack(data.recordings(name, "test", images), frames)


@lru_cache(maxsize=4)
def _network(name: str) -> torch.nn.Module:
    return convert(load_shipped(name))
