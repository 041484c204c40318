"""Scenes: ten geometric shapes on the board of `mstlib.data.board`."""

import numpy as np

from mstlib.data import board

_DRAWN = """
h-bars   v-bars   ring     plus     cross    frame    disc     square   triangle checker
.......  .#.#.#.  ..###..  ...#...  #.....#  #######  ..###..  #######  ...#...  ##..##.
#######  .#.#.#.  .#...#.  ...#...  .#...#.  #.....#  .#####.  #######  ...#...  ##..##.
.......  .#.#.#.  #.....#  ...#...  ..#.#..  #.....#  #######  #######  ..###..  ..##..#
#######  .#.#.#.  #.....#  #######  ...#...  #.....#  #######  #######  ..###..  ..##..#
.......  .#.#.#.  #.....#  ...#...  ..#.#..  #.....#  #######  #######  .#####.  ##..##.
#######  .#.#.#.  .#...#.  ...#...  .#...#.  #.....#  .#####.  #######  .#####.  ##..##.
.......  .#.#.#.  ..###..  ...#...  #.....#  #######  ..###..  #######  #######  ..##..#
"""
CLASSES, *_ROWS = (tuple(line.split()) for line in _DRAWN.strip().splitlines())
TAG = 1

_INK = np.array([[list(mark) for mark in row] for row in _ROWS]).swapaxes(0, 1) == "#"
SHAPES = np.pad(_INK, ((0, 0), (1, 0), (0, 1)))  # 7x7 in a cell of 8x8: shapes never touch
"""The shapes as they lie in their cells, bool (10, 8, 8), in the order of `CLASSES`."""


def draw(split: str, n: int, seed: int) -> board.Boards:
    """Draw n scenes; arguments, result and errors are those of `board.draw`."""
    return board.draw(lambda rng, objects: SHAPES[objects], len(CLASSES), TAG, split, n, seed)
