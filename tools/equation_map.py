"""The map of equations: read book/equation_map.yml, check it, and write book/equation_map.md.

Usage: python tools/equation_map.py
"""

import importlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils.nodes import make_id

ROOT = Path(__file__).parent.parent
MAP, PAGE = ROOT / "book" / "equation_map.yml", ROOT / "book" / "equation_map.md"
HEAD = """% Written by tools/equation_map.py from equation_map.yml: change that, run this.

# The map of equations

Each equation of the paper, and each that this book adds to them, with the line of the library that
computes it and the section that explains it. The page [](notation.md) has the equations themselves.
A test looks for every line below and fails when one is gone.
"""


class MapError(LookupError):
    """The map points to something that is not there; the message names it."""


@dataclass(frozen=True)
class Place:
    """One place of one equation.

    Attributes:
        label: Of the equation in the book.
        name: What it is about.
        symbol: Dotted name of the function, method or class that holds it.
        line: A piece of the line that computes it.
        notebook: The chapter that explains it.
        section: Title of the section there.
    """

    label: str
    name: str
    symbol: str
    line: str
    notebook: str
    section: str


def read(path: Path = MAP) -> list[Place]:
    """Read the map."""
    return [Place(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def find(symbol: str) -> Any:
    """Find a function, method or class by its dotted name.

    Raises:
        MapError: there is no such thing.
    """
    words = symbol.split(".")
    for end in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for name in words[end:]:
            if not hasattr(found, name):
                raise MapError(f"{symbol}: {found.__name__} has no {name}")
            found = getattr(found, name)
        # What Numba has compiled keeps its source there; and decorators hide it.
        return inspect.unwrap(getattr(found, "py_func", found))
    raise MapError(f"{symbol}: there is no module {words[0]}")


def code(place: Place) -> tuple[str, str]:
    """Give the file of a place, from the root of the repository, and its line of code.

    Raises:
        MapError: the symbol is gone, or not one of its lines has the piece that the map names.
    """
    found = find(place.symbol)
    lines = [line.strip() for line in inspect.getsource(found).splitlines() if place.line in line]
    if not lines:
        raise MapError(f"{place.symbol} has no line with {place.line!r}")
    return Path(inspect.getsourcefile(found)).relative_to(ROOT).as_posix(), lines[0]


def address(place: Place) -> str:
    """Give the address of a place's section in the built book.

    Raises:
        MapError: the notebook or the section is gone.
    """
    path = ROOT / "notebooks" / f"{place.notebook}.ipynb"
    if not path.exists():
        raise MapError(f"there is no notebook {place.notebook}")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        lines = [line.strip() for line in cell["source"] if cell["cell_type"] == "markdown"]
        if f"## {place.section}" in lines or f"### {place.section}" in lines:
            return f"../notebooks/{place.notebook}.html#{make_id(place.section)}"
    raise MapError(f"{place.notebook} has no section {place.section!r}")


def page(places: list[Place]) -> str:
    """Render the map as a page of the book.

    Raises:
        MapError: a place is gone.
    """
    parts, label = [HEAD], ""
    for place in places:
        if place.label != label:
            label = place.label
            parts.append(f"## {place.name}\n\nEquation {{eq}}`{label}`:\n")
        else:
            parts.append(f"{place.name}:\n")
        file, line = code(place)
        number = int(place.notebook.split("_")[0])
        parts.append(f"```python\n{line}\n```\n")
        parts.append(
            f"`{place.symbol}`, in `{file}`. Explained in chapter {number}, "
            f'<a href="{address(place)}">{place.section}</a>.\n'
        )
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read()), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
