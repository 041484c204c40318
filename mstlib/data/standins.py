"""Stand-ins: small sets in the exact file format of the published ones, to rehearse with.

Whoever is about to download hundreds of gigabytes, or to rent a cluster, can first run the same
command on a stand-in: the same files by the same names, read by the same code. There is something
to learn in them, but what is measured on one means nothing for the set whose place it takes; a
marker file says so in the folder, and a warning whenever it is read.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mstlib.data import digits
from mstlib.data.checks import check_count
from mstlib.data.events import EVENT, published, write_events
from mstlib.data.folders import classes
from mstlib.data.places import FOLDERS, MARKER, StandInWarning, home, is_standin

__all__ = ["MARKER", "StandInWarning", "is_standin", "names", "python2_pickle", "write"]
_TEXT = """This folder holds a stand-in for {name}: small made-up data in the file format of the
published set, written by mstlib to rehearse with. Nothing that is measured on it means anything.
Delete the folder before you put the published files here.
"""


def names() -> list[str]:
    """The sets that `write` knows: those that a reader has to download."""
    return [*FOLDERS, *published.SETS]


def write(
    name: str, root: str | Path, train: int | None = None, test: int | None = None, seed: int = 0
) -> Path:
    """Write a stand-in.

    Args:
        name: One of `names()`.
        root: Where to make the set's folder.
        train: Images to train on, of all classes together; of imagenet and of events, of each
            class. ``None`` for 500, or 2 of each class.
        test: The same for testing; ``None`` for 100, or 1 of each class.
        seed: Of what they show.

    Returns:
        The set's folder.

    Raises:
        ValueError: unknown name, or a number below 1.
        FileExistsError: the folder is there already: it may hold the published files.
    """
    if name not in names():
        raise ValueError(f"no stand-in for {name!r}: choose one of {', '.join(names())}")
    place = home(name, root)
    each = not name.startswith("cifar1") or name.endswith("dvs")
    train = check_count((2 if each else 500) if train is None else train)
    test = check_count((1 if each else 100) if test is None else test)
    if place.exists():
        raise FileExistsError(f"{place} is there already: it may hold the published {name}")
    place.mkdir(parents=True)
    (place / MARKER).write_text(_TEXT.format(name=name), encoding="utf-8")
    rng = np.random.default_rng(seed)
    if name == "imagenet":
        _imagenet(place, train, test, rng)
    elif each:
        _events(name, place, train, test, rng)
    else:
        _cifar(name, place, train, test, rng)
    return place


def python2_pickle(value: object) -> bytes:
    """Return a pickle as Python 2 and an old NumPy wrote CIFAR's, with byte strings for texts.

    Args:
        value: Dictionaries, lists, byte arrays, whole numbers, texts and bytes.
    """
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: object) -> bytes:
    if isinstance(value, dict):
        pairs = b"".join(_python2(k) + _python2(v) for k, v in value.items())
        return b"}(" + pairs + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, np.ndarray):
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + _python2(-1) * 2
        shape = b"".join(map(_python2, value.shape)) + b"\x86"
        content = _python2(value.astype(np.uint8).tobytes())
        return empty + b"(" + b"K\x01" + shape + dtype + b"K\x00tb" + b"\x89" + content + b"tb"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    content = value.encode() if isinstance(value, str) else value
    return b"T" + struct.pack("<i", len(content)) + content


def _cifar(name: str, place: Path, train: int, test: int, rng: np.random.Generator) -> None:
    """Write handwritten digits in colour: the digit is the class, and of 100 the colour too."""
    from torchvision import datasets

    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    for files, count, split in (
        (kind.train_list, train, "train"),
        (kind.test_list, test, "test"),
    ):
        images, labels = _coloured_digits(len(classes(name)), count, split, rng)
        for (file, _), rows in zip(
            files, np.array_split(np.arange(count), len(files)), strict=True
        ):
            batch = {
                "batch_label": file,
                "data": images[rows].reshape(len(rows), -1),
                "filenames": [f"{row}.png" for row in rows],
            }
            if name == "cifar10":
                batch["labels"] = labels[rows].tolist()
            else:
                batch["fine_labels"] = labels[rows].tolist()
                batch["coarse_labels"] = (labels[rows] // 5).tolist()
            (place / file).write_bytes(python2_pickle(batch))
    meta = {kind.meta["key"]: classes(name), "num_vis": 3072}
    (place / kind.meta["filename"]).write_bytes(python2_pickle(meta))


def _coloured_digits(
    classes: int, count: int, split: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits: bytes ``(count, 3, 32, 32)`` and labels ``(count,)``."""
    pixels, truth = (x.numpy() for x in digits.enlarged(split))
    pick = rng.integers(0, len(truth), count)
    tint = rng.integers(0, 10, count)
    labels = truth[pick] if classes == 10 else 10 * truth[pick] + tint
    angle = 2 * np.pi * (tint[:, None] / 10 + np.arange(3) / 3)
    ink = 0.5 + 0.5 * np.cos(angle)[..., None, None]  # ten hues
    ground = rng.uniform(0, 0.25, (count, 3, 1, 1))
    images = ground + pixels[pick] * (ink - ground)
    images += rng.normal(0, 0.03, images.shape)
    return (255 * images.clip(0, 1)).round().astype(np.uint8), labels


def _imagenet(place: Path, train: int, test: int, rng: np.random.Generator) -> None:
    """Write a folder of JPEGs for each class: stripes, whose colours and width are the class."""
    from PIL import Image

    for part, count in (("train", train), ("val", test)):
        for label in range(1000):
            folder = place / part / f"n{10_000_000 + 37 * label:08}"
            folder.mkdir(parents=True)
            colours = np.array([[label % 10, label // 10 % 10, label // 100]]) * 25.0
            for number in range(count):
                height, width = rng.integers(24, 48, 2)
                wave = (np.arange(width) + rng.integers(16)) // (2 + label % 5) % 2
                image = np.where(wave[None, :, None], colours, 255 - colours)
                image = np.broadcast_to(image, (height, width, 3)).astype(np.uint8)
                file = folder / f"{folder.name}_{number}.JPEG"
                Image.fromarray(image).save(file, "JPEG", quality=90)


def _events(name: str, place: Path, train: int, test: int, rng: np.random.Generator) -> None:
    """Write recordings of a spot that flickers: its place on the sensor is the class."""
    known = published.SETS[name]
    height, width = known.size
    side = int(np.ceil(np.sqrt(len(known.classes))))
    for label, kind in enumerate(known.classes):
        wanted = {"train": train, "test": test}
        number = 0
        while any(wanted.values()):
            for folder, stem in _places(name, kind, number):
                split = published.split_of(name, folder, kind, stem)
                if not wanted[split]:
                    continue
                wanted[split] -= 1
                row, column = divmod(label, side)
                events = np.zeros(400, EVENT)
                events["t"] = np.sort(rng.integers(0, 100_000, 400))
                events["x"] = ((column + rng.uniform(0.2, 0.8, 400)) * width / side).astype(int)
                events["y"] = ((row + rng.uniform(0.2, 0.8, 400)) * height / side).astype(int)
                events["p"] = rng.integers(0, 2, 400)
                path = place / folder / f"{stem}{known.suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_events(path, events, known.format)
            number += 1


def _places(name: str, kind: str, number: int) -> list[tuple[str, str]]:
    """Return where recordings of one number belong: the folder in the set's, and the name."""
    stem = {
        "cifar10-dvs": f"cifar10_{kind}_{number}",
        "n-caltech101": f"image_{number:04}",
        "n-cars": f"obj_{number:06}_td",
        "action-recognition": f"{number}",
        "asl-dvs": f"{kind}_{number:04}",
    }[name]
    folders = {
        "n-cars": [f"n-cars_{side}/{side}/{kind}" for side in ("train", "test")],
        "n-caltech101": [f"Caltech101/{kind}"],
    }
    return [(folder, stem) for folder in folders.get(name, [kind])]
