"""Published event sets as they are unpacked, small: files of their true names and formats."""

import numpy as np
from event_cases import as_events

from mstlib.data.events import published, write_events

NUMBERS = (0, 5, 99, 100, 101, 110, 111)


def stem(name: str, label: str, number: int) -> str:
    """How the published files are called."""
    return {
        "cifar10-dvs": f"cifar10_{label}_{number}",
        "n-caltech101": f"image_{number:04}",
        "n-cars": f"obj_{number:06}_td",
        "action-recognition": f"{number}",
        "asl-dvs": f"{label}_{number:04}",
    }[name]


def build(root, name: str, numbers=NUMBERS, skip=()) -> int:
    """A set as it is unpacked, with a few recordings a class; returns how many."""
    known, count = published.SETS[name], 0
    sides = ("n-cars_train/train", "n-cars_test/test") if name == "n-cars" else (".",)
    if name == "n-caltech101":
        sides = ("Caltech101",)
    for side in sides:
        for label in set(known.classes) - set(skip):
            folder = root / name / side / label
            folder.mkdir(parents=True)
            for number in numbers:
                # The label and the number can be told from the events.
                size = known.classes.index(label) + 2
                events = as_events(np.arange(size) + number, *np.zeros((3, size), int))
                path = folder / f"{stem(name, label, number)}{known.suffix}"
                write_events(path, events, known.format)
                count += 1
    return count
