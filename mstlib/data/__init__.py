"""Images to learn from: `load` them as tensors, or get `boards` with their exact masks.

| name | what | where from |
|---|---|---|
| digits | handwritten digits, 1x32x32 | scikit-learn, installed with this package |
| scenes | shapes on a board, the cue's colour names one, 3x32x32 | drawn on demand |
| cued-digits | the same board with handwritten digits, 3x32x32 | drawn on demand |
| cifar10, cifar100 | photographs of 10 or 100 kinds of things, 3x32x32 | your download |
| imagenet | photographs of 1000 kinds of things, 3x224x224 | your download |
| events-digits | handwritten digits, seen by an event camera in saccades | simulated on demand |
| events-motion | shapes that only their motion tells apart, seen by an event camera | likewise |
| cifar10-dvs, n-caltech101, n-cars, action-recognition, asl-dvs | recordings of event cameras | \
your download |

Files of events, of the formats that these five sets are published in, are read by `read_events` and
written by `write_events`.

Sets of events are `recordings`; `load` gives them as stacked frames. `mstlib.data.standins` writes
small sets in the place of those to be downloaded, to rehearse with.
"""

from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from mstlib._rooms import rooms
from mstlib.data import cued_digits, digits, folders, scenes, standins
from mstlib.data.board import Boards
from mstlib.data.checks import check_count, check_seed, check_size, check_split, shuffled
from mstlib.data.events import EVENT, EventFileError, moving, published, read_events, write_events
from mstlib.data.events.event import Recordings
from mstlib.data.events.framed import Framed
from mstlib.data.events.frames import frames, scaled, stack
from mstlib.data.places import FOLDERS, DataNotFound, StandInWarning

__all__ = [
    "EVENT",
    "Boards",
    "DataNotFound",
    "EventFileError",
    "Recordings",
    "StandInWarning",
    "boards",
    "classes",
    "dataset",
    "denormalise",
    "frames",
    "load",
    "names",
    "normalisation",
    "read_events",
    "recordings",
    "standins",
    "write_events",
]
__getattr__ = rooms(__name__, __path__)

_BOARDS: dict[str, ModuleType] = {"scenes": scenes, "cued-digits": cued_digits}
_DRAWN = {"train": 8000, "test": 2000}
_LARGE_DEFAULT = 1000

# Mean and standard deviation of each channel of the training images, pixels in [0, 1].
_NORMALISATION = {
    "digits": ((0.3055,), (0.3234,)),
    "scenes": ((0.1968, 0.1968, 0.1954), (0.2212, 0.2058, 0.2166)),
    "cued-digits": ((0.1897, 0.1901, 0.1887), (0.1991, 0.1879, 0.1956)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def names() -> list[str]:
    """The data sets that `load` knows."""
    return [*_NORMALISATION, *moving.SETS, *published.SETS]


def load(
    name: str,
    split: str = "test",
    n: int | None = None,
    seed: int | None = None,
    root: str | Path | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Load images, ready for a network.

    Fewer images of one seed are always the first of more.

    Args:
        name: one of `names()`.
        split: "train" or "test".
        n: how many images. None means 8000 (train) or 2000 (test) of a set that is drawn, and of
            events-motion; 1000 photographs of imagenet; 1000 recordings, or all if there are
            fewer, of a published set of events; and of any other set the whole split.
        seed: other boards of the same split, or the images of a stored set in another order.
            None means 0.
        root: folder for the sets you download; None for the environment variable MST_DATA, or
            else ./data.

    Returns:
        Images, float32 (n, channels, height, width), each channel with mean 0 and standard
        deviation 1 over the training images; and labels, int64 (n,). Of a set of events: 8 frames
        of equal numbers of events with 2 polarities as 16 channels, float32 (n, 16, 32, 32) (see
        `mstlib.data.events.frames`), where the counts of each recording are divided by the root of
        their mean square, so that no event stays 0.

    Raises:
        ValueError: unknown name or split, n below 1 or above what the split has, negative
            seed, or files that are not the published ones.
        DataNotFound: the set is to be downloaded first.
    """
    _check_name(name)
    check_split(split)
    if name in moving.SETS or name in published.SETS:
        source = recordings(name, split, n, seed, root)
        if n is None and name in published.SETS:
            source = source[:_LARGE_DEFAULT]
        counts, labels = stack(source)
        return scaled(counts).flatten(1, 2), labels
    seed = 0 if seed is None else check_seed(seed)
    if name in _BOARDS:
        drawn = boards(name, split, n, seed)
        pixels = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).float() / 255
        return _normalise(name, pixels), torch.from_numpy(drawn.labels)
    if n is not None:
        check_count(n)
    if name == "digits":
        pixels, labels = digits.enlarged(split)
        rows = _rows(len(labels), n, seed)
        return _normalise(name, pixels[rows]), labels[rows]
    source = dataset(name, split, root)
    if n is None and name == "imagenet":
        n = _LARGE_DEFAULT
    return folders.read(source, _rows(len(source), n, seed))


def recordings(
    name: str,
    split: str = "test",
    n: int | None = None,
    seed: int | None = None,
    root: str | Path | None = None,
) -> Recordings:
    """Open a set of recordings of an event camera; each is read, or made, when it is asked for.

    Args:
        name: "events-digits" or "events-motion", which are simulated, or one of the published
            sets, "cifar10-dvs", "n-caltech101", "n-cars", "action-recognition" and "asl-dvs" (see
            `mstlib.data.events.published`).
        split: "train" or "test".
        n: how many; None for the whole split, and for a set that is simulated see
            `mstlib.data.events.moving.recordings`.
        seed: other recordings of the same split, or those of a published set in another order;
            None means 0.
        root: as for `load`.

    Returns:
        A sequence of (events, label); see `Recordings`.

    Raises:
        ValueError: unknown name or split, n below 1 or above what the split has, negative seed.
        DataNotFound: the set is to be downloaded first.
    """
    if name in published.SETS:
        return published.recordings(name, split, n, seed, root)
    if name in moving.SETS:
        return moving.recordings(name, split, n, seed)
    known = ", ".join([*moving.SETS, *published.SETS])
    raise ValueError(f"unknown event data set {name!r}: choose one of {known}")


def dataset(
    name: str,
    split: str = "test",
    root: str | Path | None = None,
    size: int | None = None,
    side: int = 32,
) -> Dataset:
    """Open a whole split as a torch data set, for sets too large to load at once.

    Args:
        name: one of `names()`.
        split: "train" or "test".
        root: as for `load`.
        size: height and width to give the images; None for those of the set. Photographs are
            resized as `mstlib.data.folders.dataset` says, images that are made here bilinearly,
            and cells of events are repeated.
        side: cells of a frame of a published set of events along each side, before that.

    Returns:
        Pairs of a normalised image, float32 (channels, height, width), and its label. The sets
        you download are read image by image, those of photographs in the order of their files.

    Raises:
        ValueError: unknown name or split, files that are not the published ones, or a size or a
            side below 1.
        DataNotFound: the set is to be downloaded first.
    """
    _check_name(name)
    check_split(split)
    for value in (size, side):
        if value is not None:
            check_size(value)
    if name in FOLDERS:
        return folders.dataset(name, split, root, *_NORMALISATION[name], size)
    if name in published.SETS:
        return Framed(recordings(name, split, root=root), side=side, size=size)
    images, labels = load(name, split)
    if size is not None:
        images = torch.nn.functional.interpolate(images, (size, size), mode="bilinear")
    return TensorDataset(images, labels)


def boards(name: str, split: str = "test", n: int | None = None, seed: int | None = None) -> Boards:
    """Draw boards together with the masks of target, distractors and cue.

    The images are those of `load` with the same arguments, before normalisation.

    Args:
        name: "scenes" or "cued-digits".
        split: "train" or "test".
        n: how many; None for 8000 (train) or 2000 (test).
        seed: other boards of the same split; None means 0.

    Returns:
        The boards; see `Boards`.

    Raises:
        ValueError: unknown name or split, n below 1, negative seed.
    """
    if name not in _BOARDS:
        raise ValueError(f"no boards are called {name!r}: choose one of {', '.join(_BOARDS)}")
    check_split(split)
    return _BOARDS[name].draw(split, _DRAWN[split] if n is None else n, 0 if seed is None else seed)


def classes(name: str) -> list[str]:
    """The names of the classes, in the order of the labels.

    Raises:
        ValueError: unknown name.
    """
    _check_name(name)
    if name in FOLDERS:
        return folders.classes(name)
    if name in moving.SETS:
        return list(moving.SETS[name][0])
    if name in published.SETS:
        return list(published.SETS[name].classes)
    return list(_BOARDS[name].CLASSES if name in _BOARDS else digits.CLASSES)


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel that `load` normalises by.

    Raises:
        ValueError: unknown name, or a set of events: each recording has a scale of its own.
    """
    _check_name(name)
    if name not in _NORMALISATION:
        raise ValueError(f"{name} is a set of events: each recording is scaled by itself")
    return _NORMALISATION[name]


def denormalise(name: str, images: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation, to show images.

    Args:
        name: the set they are from.
        images: (..., channels, height, width), as from `load`.

    Returns:
        The same images with pixels in [0, 1].

    Raises:
        ValueError: unknown name, or the channels are not those of the set.
    """
    mean, std = _channels(name)
    if images.dim() < 3 or images.shape[-3] != len(mean):
        raise ValueError(
            f"{name} has images of shape (..., {len(mean)}, height, width); "
            f"got {tuple(images.shape)}"
        )
    return (images * std.to(images) + mean.to(images)).clamp(0, 1)


def _normalise(name: str, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = _channels(name)
    return ((pixels - mean) / std).contiguous()


def _rows(total: int, n: int | None, seed: int) -> np.ndarray:
    return shuffled(total, seed)[: check_count(total if n is None else n, total)]


def _channels(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = normalisation(name)
    return torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)


def _check_name(name: str) -> None:
    if name not in names():
        raise ValueError(f"unknown data set {name!r}: choose one of {', '.join(names())}")
