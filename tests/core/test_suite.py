"""The tests themselves: what they share lies in tests/helpers and in fixtures."""

import ast

import pytest
from places import TESTS

FILES = sorted(TESTS.rglob("*.py"))


def imported(path):
    """The modules that a file imports, wherever in it it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_no_test_imports_another():
    wrong = [
        f"{path.relative_to(TESTS)} imports {name}"
        for path in FILES
        for name in imported(path)
        if name.split(".")[-1].startswith(("test_", "conftest"))
    ]
    assert wrong == []


def test_names_of_files_are_unique():
    """Python knows a test by its name alone, without its folder."""
    names = [path.name for path in FILES if path.name != "conftest.py"]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("text", "found"),
    [("import conftest", ["conftest"]), ("def f():\n    from test_a import b", ["test_a"])],
)
def test_an_import_is_seen(tmp_path, text, found):
    (tmp_path / "test_b.py").write_text(text)
    assert list(imported(tmp_path / "test_b.py")) == found
