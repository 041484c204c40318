"""Exercises of chapter 12: shares of a batch, exact sums, a file that was cut, hours and energy."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded

# 12.1 --------------------------------------------------------------------------------------------


def _rows(batch: int, rank: int, world: int, parts: int) -> Tensor:
    return torch.arange(rank, batch, world).reshape(parts, -1)


def _neighbours(batch: int, rank: int, world: int, parts: int) -> Tensor:
    """A block of neighbouring rows for each process."""
    share = batch // world
    return torch.arange(rank * share, (rank + 1) * share).reshape(parts, -1)


ROWS = Exercise(
    "12.1",
    "every row belongs to one process and one piece",
    right=_rows,
    cases=lambda: [(24, 0, 2, 3), (24, 1, 2, 3), (32, 3, 4, 2), (6, 0, 1, 2)],
    mistakes={
        "process r takes every world-th row, not a block of neighbours.": _neighbours,
        "a piece is a stretch of the process's rows; do not deal them out again.": (
            lambda batch, rank, world, parts: torch.arange(rank, batch, world).reshape(-1, parts).T
        ),
        "return one row of the result for each piece: (parts, rows of a piece).": (
            lambda batch, rank, world, parts: torch.arange(rank, batch, world)
        ),
        "process 0 begins with row 0: ranks count from 0.": lambda *x: _rows(*x) + 1,
    },
)

# 12.2 --------------------------------------------------------------------------------------------


def _right(images: Tensor, accuracy: Tensor) -> int:
    return int(torch.round(images.double() * accuracy.double()).sum())


def _reports(seed: int, processes: int) -> tuple[Tensor, Tensor]:
    generator = seeded(seed)
    images = torch.randint(500, 4001, (processes,), generator=generator)
    right = (images * (0.5 + 0.5 * torch.rand(processes, generator=generator))).long()
    return images, torch.round(right.double() / images, decimals=4)


RIGHT = Exercise(
    "12.2",
    "whole numbers add up exactly",
    right=_right,
    cases=lambda: [_reports(seed, n) for seed, n in ((0, 4), (1, 64), (2, 400), (3, 1))],
    mistakes={
        "round each product to the whole number that it must have been, and then add.": (
            lambda images, accuracy: int((images * accuracy.double()).sum().round())
        ),
        "cutting off the digits behind the point loses answers: round.": (
            lambda images, accuracy: int((images * accuracy.double()).long().sum())
        ),
        "the mean of the accuracies is not the accuracy of all: shares differ in size.": (
            lambda images, accuracy: round(float(accuracy.double().mean() * images.sum()))
        ),
        "return how many were right, not their share.": (
            lambda images, accuracy: _right(images, accuracy) / int(images.sum())
        ),
    },
    tolerance=0.0,
)

# 12.3 --------------------------------------------------------------------------------------------


def _finished(text: str) -> dict[int, int]:
    blocks = {}
    for line in text.split("\n"):
        try:
            entry = json.loads(line)
            blocks[entry["block"]] = entry["right"]
        except ValueError:
            continue
    return blocks


def _until_cut(text: str) -> dict[int, int]:
    """Stops at the first line that cannot be read."""
    blocks = {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        blocks[entry["block"]] = entry["right"]
    return blocks


_WHOLE = '{"block": 0, "right": 15}\n{"block": 2, "right": 16}\n'
FINISHED = Exercise(
    "12.3",
    "what is whole counts, what is cut does not",
    right=_finished,
    cases=lambda: [
        (_WHOLE,),
        (_WHOLE + '{"block": 4, "ri',),
        (_WHOLE + '{"block": 4, "right": 1\n{"block": 4, "right": 14}\n',),
        (_WHOLE + '{"block": 2, "right": 16}\n{"block": 6, "right": 9}',),
        ("",),
    ],
    mistakes={
        "a later run went on behind the line that was cut: go on reading, too.": _until_cut,
        "the last line is dropped only if it was cut.": (
            lambda text: _finished("\n".join(text.splitlines()[:-1]))
        ),
    },
    tolerance=0.0,
)

# 12.4 --------------------------------------------------------------------------------------------


def _bill(
    images: int, epochs: int, rate: float, watts: float, devices: int, pue: float
) -> tuple[float, float]:
    seconds = images * epochs / rate
    return seconds / devices / 3600, seconds / 3600 * watts / 1000 * pue


BILL = Exercise(
    "12.4",
    "hours shrink with more devices, energy does not",
    right=_bill,
    cases=lambda: [
        (50_000, 300, 400.0, 350.0, 1, 1.0),
        (50_000, 300, 400.0, 350.0, 8, 1.4),
        (1_281_167, 300, 900.0, 700.0, 8, 1.2),
    ],
    mistakes={
        "all devices draw power: multiply by their number.": lambda *x: (
            _bill(*x)[0],
            _bill(*x)[1] / x[4],
        ),
        "more devices shorten the hours: divide by their number.": (
            lambda n, e, r, w, d, p: _bill(n, e, r, w * d, 1, p)
        ),
        "the building takes pue times what the devices draw.": (
            lambda n, e, r, w, d, p: _bill(n, e, r, w, d, 1.0)
        ),
        "a kilowatt-hour is 1000 watt-hours.": (
            lambda n, e, r, w, d, p: _bill(n, e, r, 1000 * w, d, p)
        ),
    },
)

EXERCISES = (ROWS, RIGHT, FINISHED, BILL)
