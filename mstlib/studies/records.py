"""The rows of the studies: stored whole as soon as each is known, and none measured twice.

A row says what was measured of one case. First in it stands its key: the fields of the case, and
what the numbers depend on besides, its *recipe* (of a training; or the hash of the weights). A
stored row of the same key is kept; one of the same case and another recipe makes room for the new
one. A run that is killed loses the case under way, and nothing else.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load, save
from torch import nn

from mstlib.checkpoints.files import write_whole

FOLDER = Path(__file__).parent / "results"
KEPT = Path(".training")  # trainings under way, and weights of networks that are not shipped
Row = dict[str, object]
Case = TypeVar("Case")


@dataclass(frozen=True)
class Table:
    """A file of rows.

    Attributes:
        path: The file.
        recipe: Names of what belongs to the key of a row but not to its case.
        lines: One row a line, rather than one number.
        head: What holds for all rows and stands above them. Rows under another head do not count.
    """

    path: Path
    recipe: tuple[str, ...] = ("recipe",)
    lines: bool = False
    head: Row | None = None

    def read(self) -> list[Row]:
        """Return the stored rows; none if there is no file."""
        content = json.loads(self.path.read_text("utf-8")) if self.path.exists() else []
        if self.head is None or not content:
            return content
        return content["rows"] if self.head.items() <= content.items() else []

    def write(self, rows: list[Row]) -> None:
        """Store these rows in place of all others; a file that holds just them is left alone."""
        if rows == self.read():
            return
        content: object = rows
        if self.head is not None:
            made = {"made by": f"mst study {self.path.stem}"} | versions("torch")
            content = made | self.head | {"rows": rows}
        write(self.path, content, self.lines)

    def fill(
        self,
        cases: Iterable[Case],
        key: Callable[[Case], Row],
        measure: Callable[[Case], Row],
        progress: bool = False,
    ) -> list[Row]:
        """Measure every case that has no stored row of its key, and store each row at once.

        Args:
            cases: What to measure, in this order.
            key: Gives the key of a case.
            measure: Gives what stands behind the key.
            progress: Print each case as soon as it is stored, and its plain numbers.

        Returns:
            All rows, those of other cases included.
        """
        for case in cases:
            wanted = _plain(key(case))
            if any(wanted.items() <= row.items() for row in self.read()):
                continue
            row = wanted | measure(case)
            fixed = {k: v for k, v in wanted.items() if k not in self.recipe}
            others = [old for old in self.read() if not fixed.items() <= old.items()]
            self.write([*others, row])
            if progress:
                numbers = {k: v for k, v in row.items() if isinstance(v, int | float)}
                print(fixed | numbers, flush=True)
        return self.read()


def find(rows: Iterable[Row], case: object) -> Row:
    """Return the row of a case, a dataclass or a dictionary of some of its fields.

    Raises:
        LookupError: there is none.
    """
    wanted = _plain(case if isinstance(case, dict) else asdict(case))
    for row in rows:
        if wanted.items() <= row.items():
            return row
    raise LookupError(f"no stored result for {wanted}")


def write(path: Path, content: object, lines: bool = False) -> None:
    """Write results as JSON, whole or not at all.

    Args:
        path: The file.
        content: Rows, or a report.
        lines: One row a line, rather than one number.
    """
    text = json.dumps(content, indent=None if lines else 1, ensure_ascii=False)
    text = text.replace("}, {", "},\n{") if lines else text
    write_whole(path, f"{text}\n".encode())


def kept(name: str, model: nn.Module, make: Callable[..., nn.Module]) -> nn.Module:
    """Return a copy of a network with weights that are trained once and kept.

    Args:
        name: Of the file in `KEPT`; a training that was stopped goes on from its state beside it.
        model: A network with the same layers.
        make: Does the training; called, if there is no such file, with ``state``, see `train`.
    """
    path = KEPT / f"{name}.safetensors"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(make(state=KEPT / name).state_dict()))
    model = copy.deepcopy(model)
    model.load_state_dict(load(path.read_bytes()))
    return model


def versions(*names: str, install: str = "") -> dict[str, str]:
    """Return the versions of installed packages, without what names a build, as "+cpu".

    Args:
        names: Of the packages.
        install: How one that is missing gets here.

    Raises:
        ValueError: one is not installed.
    """
    try:
        return {name: version(name).split("+")[0] for name in names}
    except PackageNotFoundError as missing:
        raise ValueError(f"{missing.name} is not installed: {install}") from None


def _plain(key: Row) -> Row:
    """Return a key as JSON gives it back."""
    return json.loads(json.dumps(key))
