"""Checkers for the book's exercises: ``check("1.2", my_function)``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mstlib._rooms import rooms
from mstlib.exercises.grading import Exercise, Result

__all__ = ["Exercise", "Result", "check", "find"]
__getattr__ = rooms(__name__, __path__)

CHAPTERS = {str(n): f"ch{n:02}" for n in range(1, 13)} | {"A3": "a3"}


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
