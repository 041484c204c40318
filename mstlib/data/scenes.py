"""Scenes: ten geometric shapes on the board of `mstlib.data.board`."""

import numpy as np

from mstlib.data import board

_SHAPES = {
    "h-bars": """
        .......
        #######
        .......
        #######
        .......
        #######
        .......""",
    "v-bars": """
        .#.#.#.
        .#.#.#.
        .#.#.#.
        .#.#.#.
        .#.#.#.
        .#.#.#.
        .#.#.#.""",
    "ring": """
        ..###..
        .#...#.
        #.....#
        #.....#
        #.....#
        .#...#.
        ..###..""",
    "plus": """
        ...#...
        ...#...
        ...#...
        #######
        ...#...
        ...#...
        ...#...""",
    "cross": """
        #.....#
        .#...#.
        ..#.#..
        ...#...
        ..#.#..
        .#...#.
        #.....#""",
    "frame": """
        #######
        #.....#
        #.....#
        #.....#
        #.....#
        #.....#
        #######""",
    "disc": """
        ..###..
        .#####.
        #######
        #######
        #######
        .#####.
        ..###..""",
    "square": """
        #######
        #######
        #######
        #######
        #######
        #######
        #######""",
    "triangle": """
        ...#...
        ...#...
        ..###..
        ..###..
        .#####.
        .#####.
        #######""",
    "checker": """
        ##..##.
        ##..##.
        ..##..#
        ..##..#
        ##..##.
        ##..##.
        ..##..#""",
}
CLASSES = tuple(_SHAPES)
TAG = 1


def _bitmap(rows: str) -> np.ndarray:
    bitmap = np.array([[mark == "#" for mark in row] for row in rows.split()])
    return np.pad(bitmap, ((1, 0), (0, 1)))  # 7x7 in a cell of 8x8: shapes never touch


SHAPES = np.stack([_bitmap(rows) for rows in _SHAPES.values()])
"""The shapes as they lie in their cells, bool (10, 8, 8), in the order of `CLASSES`."""


def draw(split: str, n: int, seed: int) -> board.Boards:
    """Draw n scenes; arguments, result and errors are those of `board.draw`."""
    return board.draw(lambda rng, objects: SHAPES[objects], len(CLASSES), TAG, split, n, seed)
