"""The order of the library: who may import whom, and how large a thing may grow."""

import ast
import functools
import graphlib
import importlib.util
import io
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "mstlib"
ORDER = (  # a room imports only from rooms further up; those of one line leave each other alone
    {"engine"},
    {"neurons", "masking"},
    {"qcfs"},
    {"models"},
    {"convert", "energy", "train"},
    {"simulate", "checkpoints"},
    {"analysis", "plain", "scale", "interop"},
    {"explorers"},
    {"studies"},
    {"commands"},
    {"cli"},
)
GROUND = {"data", "plots", "early_exit"}  # anyone's; import only what lies below
BELOW = {"_rooms", "_version"}
FIVE_IDEAS = ("__init__", "neurons", "qcfs", "masking", "convert", "simulate")
LONG_FILES = {"explorers/static/mst_engine.js", "models/swin.py"}


def allowed(room: str) -> set[str]:
    """The rooms that a room may import, but itself."""
    if room in BELOW:
        return set()
    if room in GROUND:
        return BELOW
    if room == "exercises":
        return BELOW | GROUND | {"neurons"}
    level = next((i for i, rooms in enumerate(ORDER) if room in rooms), None)
    assert level is not None, f"mstlib.{room} has no place in the order"
    return (BELOW | GROUND).union(*ORDER[:level])


parse = functools.cache(ast.parse)


def modules(tree: Path) -> dict[str, Path]:
    """``{dotted name: file}`` of a package."""
    found = {}
    for path in sorted(tree.rglob("*.py")):
        parts = path.relative_to(tree.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Each import of the library in a module: its line, and the module that it names.

    Wherever it stands: in a function, for types only, or as a call with the name in letters.
    """
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
            if any(a.asname is None and a.name.startswith("mstlib.") for a in node.names):
                wanted.append("mstlib")  # that is the name which it gives
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            inside = [f"{source}.{alias.name}" for alias in node.names]
            wanted = [each if each in known else source for each in inside]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called not in ("import_module", "__import__"):
                continue
            wanted = [importlib.util.resolve_name(node.args[0].value, package)]
        else:
            continue
        for each in wanted:
            if each.split(".")[0] == "mstlib":
                yield node.lineno, each


def arrows(tree: Path) -> list[tuple[str, int, str]]:
    """``(from, line, to)`` of each import within the library, its face left out."""
    known = modules(tree)
    return [
        (name, line, target)
        for name, path in known.items()
        if name != "mstlib"
        for line, target in imports(name, path, known)
    ]


def room(name: str) -> str:
    """The room of a module; the face, mstlib itself, is in none."""
    return name.partition(".")[2].partition(".")[0]


def running_back(tree: Path) -> list[str]:
    """The imports against the order, in words."""
    return [
        f"{name} (line {line}) → {target} runs back"
        for name, line, target in arrows(tree)
        if room(target) != room(name) and room(target) not in allowed(room(name))
    ]


def circle(tree: Path) -> list[str]:
    """The modules of a circle of imports, or none. That a package holds a module is no import."""
    graph: dict[str, set[str]] = {}
    for name, _, target in arrows(tree):
        graph.setdefault(name, set()).add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_import_runs_back() -> None:
    assert not running_back(LIBRARY), "\n" + "\n".join(running_back(LIBRARY))


def test_no_circle() -> None:
    assert not circle(LIBRARY), " → ".join(circle(LIBRARY))


def test_every_room_has_its_place() -> None:
    placed = (BELOW | GROUND).union({"", "exercises"}, *ORDER)
    assert {room(name) for name in modules(LIBRARY)} <= placed


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the library's own files, to put arrows into by hand."""
    return shutil.copytree(
        LIBRARY,
        tmp_path / "mstlib",
        ignore=lambda folder, names: [
            n for n in names if Path(folder, n).is_file() and not n.endswith(".py")
        ],
    )


@pytest.mark.parametrize(
    ("file", "text", "arrow"),
    [
        ("energy.py", "from mstlib.simulate import Run", "mstlib.energy → mstlib.simulate"),
        ("energy.py", "import mstlib.simulate as s", "mstlib.energy → mstlib.simulate"),
        ("qcfs.py", "def f():\n    from mstlib import convert", "mstlib.qcfs → mstlib.convert"),
        (
            "qcfs.py",
            "if TYPE_CHECKING:\n    from mstlib.convert import convert",
            "mstlib.qcfs → mstlib.convert",
        ),
        (
            "scale/cost.py",
            "from ..studies import norms",
            "mstlib.scale.cost → mstlib.studies.norms",
        ),
        ("train/__init__.py", "from ..simulate import Run", "mstlib.train → mstlib.simulate"),
        (
            "models/swin.py",
            'import importlib\nimportlib.import_module("mstlib.train")',
            "mstlib.models.swin → mstlib.train",
        ),
        ("masking.py", "from mstlib.neurons import RESETS", "mstlib.masking → mstlib.neurons"),
        ("data/board.py", "from mstlib import plots", "mstlib.data.board → mstlib.plots"),
        ("exercises/ch01.py", "from mstlib import qcfs", "mstlib.exercises.ch01 → mstlib.qcfs"),
        ("studies/norms.py", "import mstlib", "mstlib.studies.norms → mstlib"),
        ("studies/norms.py", "import mstlib.data", "mstlib.studies.norms → mstlib"),
        ("studies/norms.py", '__import__("mstlib.cli")', "mstlib.studies.norms → mstlib.cli"),
        ("commands/train.py", "from mstlib import load", "mstlib.commands.train → mstlib"),
        ("commands/train.py", "from mstlib import cli", "mstlib.commands.train → mstlib.cli"),
    ],
)
def test_an_arrow_put_in_is_named(tree: Path, file: str, text: str, arrow: str) -> None:
    path = tree / file
    lines = path.read_text(encoding="utf-8").count("\n") + 1
    path.write_text(path.read_text(encoding="utf-8") + text + "\n", encoding="utf-8")
    source, target = arrow.split(" → ")
    last = lines + text.count("\n")
    assert running_back(tree) == [f"{source} (line {last}) → {target} runs back"]


def test_a_circle_within_a_room_is_found(tree: Path) -> None:
    for here, there in (("dat", "atis"), ("atis", "dat")):
        with (tree / f"data/events/{here}.py").open("a", encoding="utf-8") as file:
            file.write(f"def f():\n    from mstlib.data.events import {there}\n")
    assert not running_back(tree)
    assert set(circle(tree)) == {"mstlib.data.events.atis", "mstlib.data.events.dat"}


def test_a_room_without_a_place_is_refused(tree: Path) -> None:
    (tree / "attic.py").write_text("import mstlib.data\n")
    with pytest.raises(AssertionError, match=r"mstlib\.attic has no place in the order"):
        running_back(tree)


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code: no docstring, no comment, not empty."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose: set[int] = set()
    for node in ast.walk(parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout | {tokenize.ENDMARKER}:
            code |= set(range(token.start[0], token.end[0] + 1))
    return code - prose


def test_functions_have_50_lines_at_most() -> None:
    long = []
    for path in sorted(LIBRARY.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        code = code_lines(source)
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = len(code & set(range(node.lineno, node.end_lineno + 1)))
                if count > 50:
                    long.append(f"{path.relative_to(LIBRARY)}: {node.name} has {count}")
    assert not long, "\n".join(long)


def test_lines_of_code_are_counted() -> None:
    prose = '"""Doc."""\n\n# why\ndef f():\n    """Doc.\n\n    More."""\n'
    assert code_lines(prose + "    return (\n        1\n    )\n") == {4, 8, 9, 10}


def test_files_have_450_lines_at_most() -> None:
    long = {}
    for path in LIBRARY.rglob("*.*"):
        name = path.relative_to(LIBRARY).as_posix()
        if path.suffix in (".py", ".js", ".css") and not name.startswith("explorers/static/models"):
            count = path.read_text(encoding="utf-8").count("\n")
            if count > 450 and name not in LONG_FILES:
                long[name] = count
    assert not long, long


def test_the_way_in_is_small() -> None:
    root = sorted(path.name for path in LIBRARY.glob("*.py"))
    assert len(root) <= 13, root
    lines = {n: (LIBRARY / f"{n}.py").read_text(encoding="utf-8").count("\n") for n in FIVE_IDEAS}
    assert sum(lines.values()) <= 1000, lines
