"""Checkers for the book's exercises: ``check("1.2", my_function)``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mstlib._rooms import rooms
from mstlib.exercises.grading import Exercise, Result

__all__ = ["Exercise", "Result", "check", "find"]
__getattr__ = rooms(__name__, __path__)

CHAPTERS = {
    "1": "ch01",
    "2": "ch02",
    "3": "ch03",
    "4": "ch04",
    "5": "ch05",
    "6": "ch06",
    "7": "ch07",
    "8": "ch08",
    "9": "ch09",
    "10": "ch10",
    "11": "ch11",
    "12": "ch12",
    "A3": "a3",
}


def check(number: str, answer: Any) -> Result:
    """Say whether the answer to an exercise is right and, if it is not, what is wrong with it.

    Args:
        number: The exercise, for example ``"1.2"``.
        answer: The reader's function (itself, not its result).

    Returns:
        A result that a notebook shows as one line; ``result.passed`` is true or false.

    Raises:
        ValueError: No exercise has this number.
    """
    return find(number).check(answer)


def find(number: str) -> Exercise:
    """Look an exercise up by its number."""
    chapter = number.split(".")[0]
    if chapter not in CHAPTERS:
        raise ValueError(f"no exercise {number!r}: chapters {', '.join(CHAPTERS)} have exercises")
    exercises = import_module(f"mstlib.exercises.{CHAPTERS[chapter]}").EXERCISES
    known = {exercise.number: exercise for exercise in exercises}
    if number not in known:
        raise ValueError(f"no exercise {number!r}: chapter {chapter} has {', '.join(known)}")
    return known[number]
