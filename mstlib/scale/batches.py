"""The images of a training, augmented: a function of seed, epoch and index, and of nothing else.

An image is cropped, coloured and erased by timm's transforms, whose random numbers come from global
generators. These are set anew for each image, so that it is the same one in whichever process, in
whichever worker and after however many interruptions it is made. An update takes a slice of the
epoch's order; of its rows, process r of w works on r, r + w, r + 2w, …
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mstlib import data
from mstlib.data.events.augment import nda
from mstlib.data.events.frames import frames, scaled
from mstlib.data.places import FOLDERS
from mstlib.scale.recipe import EVENT_SETS, RecipeError, ScaleRecipe


class SampleError(ValueError):
    """A sample of a data set cannot be read; the message names it."""


def number(*parts: object) -> int:
    """Return a number below 2^63 that depends on all parts, and looks like chance."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_all(*parts: object) -> None:
    """Set the global generators of Python, NumPy and PyTorch, on all devices, from some parts."""
    _seed(torch, *parts)


def _seed(generator: Any, *parts: object) -> None:
    chosen = number(*parts)
    random.seed(chosen)
    np.random.seed(chosen % 2**32)  # noqa: NPY002 - the generator that timm draws from
    generator.manual_seed(chosen)


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Set the processor's global generators from some parts while a ``with`` block runs.

    They are put back then. Devices are left alone: PyTorch would note for each of those that have
    not been used yet where it was called from, which takes longer than many an image.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    _seed(torch.default_generator, *parts)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@dataclass(frozen=True)
class Source:
    """The samples of one split, opened but not read.

    Attributes:
        name: Of the data set.
        split: "train" or "test".
        labels: Of all samples, int64 ``(N,)``.
        make: From an index to an image ``(channels, height, width)``; it may draw random numbers
            from the global generators.
        place: From an index to the name of what it is read from.
    """

    name: str
    split: str
    labels: Tensor
    make: Callable[[int], Tensor]
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        """Make one image.

        Raises:
            SampleError: it cannot be read.
        """
        try:
            return self.make(index)
        except Exception as trouble:
            raise SampleError(
                f"sample {index} of {self.name} ({self.split}), {self.place(index)}, cannot be "
                f"read: {type(trouble).__name__}: {trouble}"
            ) from trouble

    def identity(self) -> dict[str, object]:
        """Return what tells this data from other data: its name, its size and its labels."""
        return {
            "data": self.name,
            "data.images": len(self),
            "data.labels": zlib.crc32(self.labels.numpy().tobytes()),
        }


def open_source(
    recipe: ScaleRecipe, split: str, root: str | Path | None = None, augment: bool = False
) -> Source:
    """Open a split of a recipe's data set, and read its first sample.

    Args:
        recipe: Which set, and how its images are made.
        split: "train" or "test".
        root: Folder of the sets you download; see `mstlib.data.load`.
        augment: Change the images at random, as for training; if not, they are only resized (and
            cropped, where photographs are larger).

    Raises:
        DataNotFound: the set is to be downloaded first.
        RecipeError: the network takes images of another shape.
        SampleError: the first sample cannot be read.
    """
    side = recipe.config()["image_size"]
    if recipe.data in EVENT_SETS:
        source = _events(recipe, split, root, side, augment)
    elif recipe.data in FOLDERS:
        source = _photographs(recipe, split, root, side, augment)
    else:
        pairs = data.dataset(recipe.data, split, root)
        images, labels = pairs.tensors
        source = Source(recipe.data, split, labels, images.__getitem__, lambda i: "a tensor")
    config = recipe.config()
    with seeded(0):
        shape = tuple(source.image(0).shape)
    wanted = (config["in_channels"], side, side)
    if shape != wanted:
        raise RecipeError(
            f"the network takes images {wanted}, and those of {recipe.data} are {shape}: change "
            "model.in_channels or model.image_size"
        )
    return source


def _photographs(
    recipe: ScaleRecipe, split: str, root: str | Path | None, side: int, augment: bool
) -> Source:
    from timm.data import create_transform

    stored = data.dataset(recipe.data, split, root)
    mean, std = data.normalisation(recipe.data)
    common = {"input_size": (3, side, side), "mean": mean, "std": std, "interpolation": "bicubic"}
    how = recipe.augment
    if augment:
        try:
            stored.transform = create_transform(
                **common,
                is_training=True,
                scale=how.scale,
                hflip=how.flip,
                color_jitter=how.jitter,
                auto_augment=how.policy or None,
                re_prob=how.erase,
                re_mode="pixel",
            )
        except (AssertionError, KeyError, ValueError) as trouble:
            raise RecipeError(
                f"augment.policy {how.policy!r} is none of timm's: {trouble}"
            ) from None
    else:
        # CIFAR's whole image, ImageNet's middle 7/8, as is usual for each.
        crop = 0.875 if recipe.data == "imagenet" else 1.0
        stored.transform = create_transform(**common, crop_pct=crop)
    return Source(
        recipe.data,
        split,
        torch.tensor(stored.targets),
        lambda index: stored[index][0],
        lambda index: file_of(stored, index),
    )


def file_of(stored: Dataset, index: int) -> str:
    """Name what an image of a folder of torchvision's is read from."""
    paths = getattr(stored, "samples", None)
    return paths[index][0] if paths else f"image {index} of the set's files"


def _events(
    recipe: ScaleRecipe, split: str, root: str | Path | None, side: int, augment: bool
) -> Source:
    recordings = data.recordings(recipe.data, split, root=root)
    how, change = recipe.events, recipe.augment

    def make(index: int) -> Tensor:
        events, _ = recordings[index]
        counts = frames(events, how.frames, recordings.size, side=how.side)
        image = scaled(torch.from_numpy(counts)[None]).flatten(1, 2)
        if augment:
            generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            image = nda(image, generator, change.intensity, change.number, False, change.changes)
            if float(torch.rand((), generator=generator)) < change.flip:
                image = image.flip(-1)
        if how.side != side:
            image = torch.nn.functional.interpolate(image, (side, side), mode="nearest-exact")
        return image[0]

    labels = torch.from_numpy(recordings.labels.copy())
    return Source(recipe.data, split, labels, make, lambda index: f"recording {index}")


@dataclass(frozen=True)
class Plan:
    """Which samples each update takes, for one process.

    Attributes:
        samples: In the data set.
        batch: Samples of an update, over all processes.
        parts: Parts that each process cuts its share into.
        seed: Of the order.
        rank: Number of this process.
        world: How many there are.

    Raises:
        RecipeError: fewer samples than an update takes, or a batch that cannot be divided.
    """

    samples: int
    batch: int
    parts: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch > self.samples:
            raise RecipeError(
                f"batch.images is {self.batch} and there are only {self.samples} images: a batch "
                "must not be larger than the data set"
            )
        if self.batch % (self.world * self.parts):
            raise RecipeError(
                f"batch.images must be a multiple of {self.world} processes times "
                f"{self.parts} parts (batch.accumulation), not {self.batch}"
            )

    @property
    def updates(self) -> int:
        """Updates of an epoch; what is left over waits for another epoch's order."""
        return self.samples // self.batch

    def parts_of(self, update: int, first_epoch: int = 0) -> list[list[tuple[int, int, int]]]:
        """Return the parts of an update: lists of (epoch, index of a sample, row in the batch)."""
        epoch, place = divmod(update, self.updates)
        epoch += first_epoch
        chosen = _order(self.samples, self.seed, epoch)[place * self.batch :][: self.batch].tolist()
        mine = [(epoch, chosen[row], row) for row in range(self.rank, self.batch, self.world)]
        size = len(mine) // self.parts
        return [mine[k * size : (k + 1) * size] for k in range(self.parts)]


@lru_cache(2)  # every update of an epoch asks for it
def _order(samples: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the samples in an epoch."""
    generator = torch.Generator().manual_seed(number("order", seed, epoch))
    return torch.randperm(samples, generator=generator)


class _Samples(Dataset):
    """Samples with their labels and rows; of one that cannot be read, a text that says so.

    Keys are (epoch, index, row). With a seed, each is made from random numbers of its own.
    """

    def __init__(self, source: Source, seed: int | None = None) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, index, row = key
        chance = nullcontext() if self.seed is None else seeded("sample", self.seed, epoch, index)
        try:
            with chance:
                return self.source.image(index), int(self.source.labels[index]), row
        except SampleError as trouble:
            return str(trouble)  # an exception would arrive with a worker's whole stack in its text


def _gather(samples: list[Any]) -> Any:
    troubles = [sample for sample in samples if isinstance(sample, str)]
    if troubles:
        return troubles[0]
    images, labels, rows = zip(*samples, strict=True)
    return torch.stack(images), torch.tensor(labels), list(rows)


def load(
    source: Source, plan: Plan, updates: range, first_epoch: int = 0, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Load the parts of some updates, one after another.

    Args:
        source: Augmented images.
        plan: Which ones.
        updates: Numbers of the updates; those before are not loaded.
        first_epoch: Number of the epoch that update 0 begins.
        workers: Processes that make the images.

    Yields:
        Images ``(B, channels, height, width)``, labels ``(B,)``, and their rows in the batch.

    Raises:
        SampleError: a sample cannot be read, and the message names it; or a worker died.
    """
    keys = (part for update in updates for part in plan.parts_of(update, first_epoch))
    yield from _loaded(_Samples(source, plan.seed), keys, workers)


def read(
    source: Source, batches: Sequence[Sequence[int]], workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read some samples of a split, batch by batch.

    Args:
        source: Not augmented.
        batches: The numbers of the samples of each.
        workers: Processes that read them.

    Yields:
        Images ``(B, channels, height, width)`` and labels ``(B,)``.

    Raises:
        SampleError: a sample cannot be read, and the message names it; or a worker died.
    """
    keys = [[(0, index, row) for row, index in enumerate(batch)] for batch in batches]
    for images, labels, _ in _loaded(_Samples(source), keys, workers):
        yield images, labels


def _loaded(
    samples: _Samples, keys: Iterable, workers: int
) -> Iterator[tuple[Tensor, Tensor, list]]:
    """Load batches of samples, one after another."""
    loader = DataLoader(
        samples,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_gather,
        pin_memory=torch.cuda.is_available(),
    )
    with living_workers():
        for batch in loader:
            if isinstance(batch, str):
                raise SampleError(batch)
            yield batch


@contextmanager
def living_workers() -> Iterator[None]:
    """Say plainly that a worker died while a ``with`` block runs.

    PyTorch tells of it by an exception from a signal's handler, which can come out of any line of
    the process that the worker works for.

    Raises:
        SampleError: a worker died.
    """
    try:
        yield
    except RuntimeError as trouble:
        if "DataLoader worker (pid" not in str(trouble):
            raise
        raise SampleError(
            f"a process that loads images died ({trouble}); if memory was short, take fewer of "
            "them (batch.workers)"
        ) from trouble


def examples(
    source: Source, n: int, seed: int = 0, share: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Read some samples of a split, or all if it has no more.

    Args:
        source: Not augmented.
        n: How many.
        seed: Other samples; fewer of one seed are the first of more.
        share: Read only this part of them, which may be none.

    Returns:
        Images ``(n, channels, height, width)`` and labels ``(n,)``, n being those that were read.

    Raises:
        SampleError: one of them cannot be read.
    """
    generator = torch.Generator().manual_seed(number("examples", seed))
    rows = torch.randperm(len(source), generator=generator)[:n][share]
    # A process may have no share of them: the first image still says what shape they have.
    images = [source.image(row) for row in rows.tolist() or [0]]
    return torch.stack(images)[: len(rows)], source.labels[rows]
