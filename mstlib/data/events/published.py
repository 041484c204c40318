"""The five published event data sets, read from folders that the reader downloads.

| name | recordings | classes | camera | split |
|---|---|---|---|---|
| cifar10-dvs | 10,000 | 10 | DVS128, 128x128 | numbers 0 to 99 of each class are for testing [1] |
| n-caltech101 | 8,709 | 101 | ATIS, 180x240 | declared here, a tenth for testing |
| n-cars | 24,029 | 2 | ATIS, 100x120 | published: 15,422 and 8,607 |
| action-recognition | – | 10 | DAVIS346, 260x346 | declared here, a fifth for testing |
| asl-dvs | 100,800 | 24 | DAVIS240C, 180x240 | declared here, a fifth for testing |

[1] Duan and others, 2022, Temporal Effective Batch Normalization in Spiking Neural Networks; the
makers of CIFAR10-DVS published no split. A split that is declared here goes by a hash of class and
file name, so a recording stays on its side whatever other files are there.

A set is told by its files alone: any folder inside the set's folder that has the name of a class
may hold recordings of it, so the archives may be unpacked in whatever way. The files are listed
once and kept in memory; a recording is read when it is asked for.
"""

import hashlib
import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mstlib.data.checks import SPLITS, check_count, check_seed, check_split, shuffled
from mstlib.data.events.event import Recordings
from mstlib.data.events.files import read_events
from mstlib.data.places import DataNotFound, is_standin, not_found, root_of, tell

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_ACTIONS = (
    "arm crossing,get-up,jumping,kicking,picking up,sit-down,throwing,turning around,walking,waving"
)
_CALTECH101 = """
    BACKGROUND_Google Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass
    beaver binocular bonsai brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan
    cellphone chair chandelier cougar_body cougar_face crab crayfish crocodile crocodile_head cup
    dalmatian dollar_bill dolphin dragonfly electric_guitar elephant emu euphonium ewer ferry
    flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone hedgehog
    helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster lotus mandolin
    mayfly menorah metronome minaret nautilus octopus okapi pagoda panda pigeon pizza platypus
    pyramid revolver rhino rooster saxophone schooner scissors scorpion sea_horse snoopy soccer_ball
    stapler starfish stegosaurus stop_sign strawberry sunflower tick trilobite umbrella watch
    water_lilly wheelchair wild_cat windsor_chair wrench yin_yang"""


@dataclass(frozen=True)
class Published:
    """What is known of a set before its files are seen.

    Attributes:
        format: of its files, see `mstlib.data.events.files`.
        suffix: of its files' names.
        size: (height, width) of its recordings; an event beyond them is left out.
        classes: in the order of the labels.
        count: how many recordings were published; None where nobody says.
        download: what to download, and from where.
        one_in: a recording of so many is for testing, where the split is declared here.
    """

    format: str
    suffix: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    count: int | None
    download: str
    one_in: int | None = None


SETS = {
    "cifar10-dvs": Published(
        "aedat2",
        ".aedat",
        (128, 128),
        tuple(_CIFAR10.split()),
        10_000,
        "airplane.zip to truck.zip from https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    ),
    "n-caltech101": Published(
        "atis-bin",
        ".bin",
        (180, 240),
        tuple(_CALTECH101.split()),
        8_709,
        "Caltech101.zip from https://www.garrickorchard.com/datasets/n-caltech101",
        one_in=10,
    ),
    "n-cars": Published(
        "dat",
        ".dat",
        (100, 120),
        ("background", "cars"),
        24_029,
        "Prophesee_Dataset_n_cars.zip (which holds n-cars_train.zip and n-cars_test.zip) from "
        "https://www.prophesee.ai/dataset-n-cars-download/",
    ),
    "action-recognition": Published(
        "paf-aedat",
        ".aedat",
        (260, 346),
        tuple(_ACTIONS.split(",")),
        None,
        "the Action Recognition Dataset from https://github.com/CrystalMiaoshu/PAFBenchmark",
        one_in=5,
    ),
    "asl-dvs": Published(
        "asl-mat",
        ".mat",
        (180, 240),
        tuple("abcdefghiklmnopqrstuvwxy"),  # j and z are signed by moving: the set has neither
        100_800,
        "ICCV2019_DVS_dataset.zip (which holds an archive for each letter) from "
        "https://github.com/PIX2NVS/NVS2Graph",
        one_in=5,
    ),
}


def recordings(
    name: str,
    split: str = "test",
    n: int | None = None,
    seed: int | None = None,
    root: str | Path | None = None,
) -> Recordings:
    """Open a published set without reading its recordings.

    Args:
        name: one of `SETS`.
        split: "train" or "test".
        n: how many recordings; None for the whole split.
        seed: another order of the recordings; None means 0. Fewer recordings of one seed are the
            first of more.
        root: the folder that holds the set's folder, which has the set's name; None for the
            environment variable MST_DATA, or else ./data.

    Returns:
        The recordings, each read when it is asked for. Events out of order are sorted by time,
        events beyond the set's size are left out.

    Raises:
        DataNotFound: files, or all files of a class, are missing; the message says what to
            download and where to put it.
        ValueError: unknown split, n below 1 or above what the split has, negative seed.
    """
    check_split(split)
    seed = 0 if seed is None else check_seed(seed)
    known = SETS[name]
    place = root_of(root)
    tell(name, place)
    paths, labels, test = _index(name, place.resolve())
    part = np.flatnonzero(test == (split == "test"))
    if not len(part):
        raise _not_found(name, place, f"none of its {len(paths)} recordings is for {split}ing")
    count = check_count(len(part) if n is None else n, len(part))
    rows = part[shuffled(len(part), seed)[:count]]

    def read(index: int) -> np.ndarray:
        events = read_events(paths[rows[index]], known.format, sort=True)
        height, width = known.size
        inside = (events["x"] < width) & (events["y"] < height)
        return events if inside.all() else events[inside]

    return Recordings(read, labels[rows], known.classes, known.size)


@cache
def _index(name: str, place: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The files of a set, the label of each, int64 (N,), and which are for testing, bool (N,)."""
    known, home = SETS[name], place / name
    labels = {_plain(label): number for number, label in enumerate(known.classes)}
    found = []
    for folder, _, files in os.walk(home):
        label = labels.get(_plain(os.path.basename(folder)))
        if label is None:
            continue
        for file in files:
            stem, suffix = os.path.splitext(file)
            if suffix.lower() != known.suffix or stem.startswith("."):
                continue
            split = split_of(name, os.path.relpath(folder, home), known.classes[label], stem)
            if split:
                parts = re.split(r"(\d+)", stem)  # text and numbers in turn
                order = [int(part) if i % 2 else part for i, part in enumerate(parts)]
                found.append((label, order, os.path.join(folder, file), split == "test"))
    if not found:
        raise _not_found(name, place, _why_empty(home, known))
    seen = {label for label, *_ in found}
    missing = [known.classes[label] for label in labels.values() if label not in seen]
    if missing:
        raise _not_found(name, place, f"there is no recording of {', '.join(missing)}")
    if known.count and len(found) < known.count and not is_standin(name, place):
        warnings.warn(
            f"{home} holds {len(found):,} of the {known.count:,} recordings of {name}; it is used "
            "as it is",
            stacklevel=3,
        )
    found.sort()
    return (
        [path for _, _, path, _ in found],
        np.array([label for label, *_ in found]),
        np.array([test for *_, test in found]),
    )


def split_of(name: str, folder: str, label: str, stem: str) -> str | None:
    """Say which split a file is of.

    Args:
        name: one of `SETS`.
        folder: its folder, within that of the set.
        label: its class.
        stem: its name, without the suffix.

    Returns:
        "train", "test", or None for no recording of the set.
    """
    if name == "n-cars":
        return next((split for split in SPLITS if split in folder.lower()), None)
    if name == "cifar10-dvs":
        number = re.search(r"_(\d+)$", stem)
        return number and ("test" if int(number[1]) < 100 else "train")
    digest = hashlib.sha256(f"{label}/{stem}".encode()).digest()
    return "train" if int.from_bytes(digest[:8], "big") % SETS[name].one_in else "test"


def _plain(name: str) -> str:
    """A name without what people change when they make it a folder: case, spaces, dashes."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _why_empty(home: Path, known: Published) -> str:
    if not home.is_dir():
        return f"there is no folder {home.name}"
    archives = sorted(file.name for file in home.rglob("*.zip"))
    if archives:
        return f"{', '.join(archives[:5])} in {home.name} must be unpacked"
    return f"{home.name} has no {known.suffix} file in a folder named after a class"


def _not_found(name: str, place: Path, why: str) -> DataNotFound:
    remedy = f"Download {SETS[name].download} and unpack it in the folder {name} there"
    return not_found(name, place, why, remedy)
