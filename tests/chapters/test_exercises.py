"""What holds for the exercises of every chapter; their right and wrong answers are tested apart."""

from importlib import import_module

import pytest

from mstlib.exercises import CHAPTERS

EVERY = pytest.mark.parametrize(
    "exercise",
    [
        exercise
        for module in CHAPTERS.values()
        for exercise in import_module(f"mstlib.exercises.{module}").EXERCISES
    ],
    ids=lambda exercise: exercise.number,
)


@EVERY
def test_every_known_mistake_differs_from_the_right_answer_and_from_the_others(exercise):
    assert exercise.mistakes
    for message, mistake in exercise.mistakes.items():
        assert exercise.check(mistake).message == f"{exercise.number} not yet: {message}"


@EVERY
def test_an_empty_stub_is_not_a_mistake(exercise):
    assert not exercise.check(lambda *arguments: ...).attempted
