"""How an answer is judged: run it, compare it with the right one and with well-known wrong ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Result:
    """What a checker found.

    Attributes:
        passed: Whether the answer is right.
        message: One line for the reader.
        attempted: False while the answer is still the empty stub.
    """

    passed: bool
    message: str
    attempted: bool = True

    def __repr__(self) -> str:
        sign = "✓" if self.passed else "✗" if self.attempted else "…"
        return f"{sign} {self.message}"


@dataclass(frozen=True)
class Exercise:
    """One exercise: the right answer, inputs to try it on, and the mistakes people make.

    Attributes:
        number: For example ``"1.2"``.
        title: Said when the answer is right.
        right: The right function; its parameter names appear in messages.
        cases: Makes the inputs: a list of argument tuples.
        mistakes: ``{message that helps: wrong function}``. An answer that gives what a wrong
            function gives, on every case, receives its message.
        tolerance: Largest absolute difference that counts as equal.
    """

    number: str
    title: str
    right: Callable[..., Any]
    cases: Callable[[], Sequence[tuple]]
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    tolerance: float = 1e-5

    def check(self, answer: Any) -> Result:
        """Judge an answer, see :func:`mstlib.exercises.check`."""
        if answer is None or answer is ...:
            return self._empty()
        if not callable(answer):
            return self._wrong(
                f"hand over the function itself, not its result (a {type(answer).__name__})."
            )
        outputs = []
        for case in self.cases():
            given = [_copy(argument) for argument in case]
            try:
                output = answer(*given)
            except NotImplementedError:
                return self._empty()
            except Exception as error:
                return self._wrong(
                    f"your function raised {type(error).__name__}: {error} — {self._input(case)}."
                )
            if output is None or output is ...:
                return self._empty()
            for name, before, after in zip(self._names(), case, given, strict=False):
                if not _same(before, after, 0.0):
                    return self._wrong(
                        f"your function changes its argument `{name}` in place; "
                        "work on a copy, so that the caller's data stay as they were."
                    )
            outputs.append(_copy(output))
        return self._judge(outputs)

    def _judge(self, outputs: list[Any]) -> Result:
        if self._agrees(self.right, outputs):
            return Result(True, f"{self.number} {self.title}")
        for message, mistake in self.mistakes.items():
            if self._agrees(mistake, outputs):
                return self._wrong(message)
        for case, got in zip(self.cases(), outputs, strict=True):
            want = self.right(*map(_copy, case))
            if not _same(want, got, self.tolerance):
                return self._wrong(
                    f"{_difference(want, got, self.tolerance)} — {self._input(case)}."
                )
        raise AssertionError("unreachable: one case must differ")

    def _agrees(self, function: Callable[..., Any], outputs: list[Any]) -> bool:
        return all(
            _same(function(*map(_copy, case)), got, self.tolerance)
            for case, got in zip(self.cases(), outputs, strict=True)
        )

    def _names(self) -> list[str]:
        return list(inspect.signature(self.right).parameters)

    def _input(self, case: tuple) -> str:
        said = ", ".join(
            f"{name} = {_say(value)}" for name, value in zip(self._names(), case, strict=False)
        )
        return f"tried with {said}"

    def _wrong(self, why: str) -> Result:
        return Result(False, f"{self.number} not yet: {why}")

    def _empty(self) -> Result:
        return Result(False, f"{self.number} not attempted yet", attempted=False)


def seeded(seed: int) -> torch.Generator:
    """Return where an exercise's random inputs come from."""
    return torch.Generator().manual_seed(seed)


def _copy(value: Any) -> Any:
    """A deep copy of tensors, also inside tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copy(item) for item in value)
    return value


def _same(want: Any, got: Any, tolerance: float) -> bool:
    """Whether two values have one structure, shape and dtype, and numbers that close."""
    if isinstance(want, Tensor):
        return (
            isinstance(got, Tensor)
            and got.shape == want.shape
            and got.dtype == want.dtype
            and torch.allclose(want, got, rtol=0, atol=tolerance, equal_nan=True)
        )
    if isinstance(want, (tuple, list)):
        return (
            isinstance(got, (tuple, list))
            and len(got) == len(want)
            and all(_same(a, b, tolerance) for a, b in zip(want, got, strict=True))
        )
    if isinstance(want, dict):
        return (
            isinstance(got, dict)
            and got.keys() == want.keys()
            and all(_same(want[key], got[key], tolerance) for key in want)
        )
    if isinstance(want, (int, float)):
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if not isinstance(got, (int, float)):
            return False
        return want == got or abs(want - got) <= tolerance
    return want is got or want == got


def _difference(want: Any, got: Any, tolerance: float) -> str:
    """The first thing in which an answer differs from the right one, in words."""
    if isinstance(want, Tensor):
        if not isinstance(got, Tensor):
            return f"return a torch tensor, not a {type(got).__name__}"
        if got.shape != want.shape:
            return f"the shape is {tuple(got.shape)}, it should be {tuple(want.shape)}"
        if got.dtype != want.dtype:
            return f"the dtype is {got.dtype}, it should be {want.dtype}"
        wrong = ~torch.isclose(want, got, rtol=0, atol=tolerance, equal_nan=True)
        where = tuple(wrong.nonzero()[0].tolist())
        place = f" at index {where}" if where else ""
        share = f" ({int(wrong.sum())} of {wrong.numel()} values differ)" if where else ""
        return f"yours gives {got[where]:.4g}{place}, right is {want[where]:.4g}{share}"
    if isinstance(want, (tuple, list)):
        if not isinstance(got, (tuple, list)) or len(got) != len(want):
            return f"return {len(want)} values"
        for number, (a, b) in enumerate(zip(want, got, strict=True), start=1):
            if not _same(a, b, tolerance):
                return f"value {number} of {len(want)}: {_difference(a, b, tolerance)}"
    return f"yours gives {_say(got)}, right is {_say(want)}"


def _say(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, Tensor) and value.numel() != 1:
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}"
    text = repr(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"
