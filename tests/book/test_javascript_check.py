"""The check of the scripts, with programs in the place of Node and npm that note what is asked."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT

_SPEC = importlib.util.spec_from_file_location("javascript", ROOT / "tools" / "javascript.py")
javascript = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(javascript)


class Project:
    """A folder with a lock, a test, and programs that stand for Node and npm."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "log"
        (root / "bin").mkdir()
        (root / "tests" / "js").mkdir(parents=True)
        (root / "tests" / "js" / "one.test.mjs").touch()
        (root / "package-lock.json").write_text("{}")

    def program(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.log}\n{script}\n')
        path.chmod(0o755)

    def node(self, version: str = "v20.19.0", *, lint: int = 0, test: int = 0) -> None:
        self.program(
            "node",
            f'case "$1" in --version) echo {version};; --test) exit {test};; *) exit {lint};; esac',
        )

    def npm(self, script: str = "mkdir -p node_modules") -> None:
        self.program("npm", script)

    def asked(self) -> list[str]:
        """The first two words of every call since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [" ".join(line.split()[:2]) for line in lines if "--version" not in line]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setattr(
        javascript.shutil,
        "which",
        lambda name: str(tmp_path / "bin" / name) if (tmp_path / "bin" / name).exists() else None,
    )
    return Project(tmp_path)


def test_without_node_it_says_so_and_does_not_fail(project, capsys):
    assert javascript.main([], project.root) == 0
    assert capsys.readouterr().out == "SKIPPED [javascript] Node is not on this machine\n"


@pytest.mark.parametrize("version", ["v18.20.1", "v9.0.0", "nonsense"])
def test_an_old_node_is_not_used(project, capsys, version):
    project.node(version)
    assert javascript.main([], project.root) == 0
    assert project.asked() == []
    expected = f"SKIPPED [javascript] Node 20 or newer is needed, not {version}\n"
    assert capsys.readouterr().out == expected


def test_installs_once_and_then_lints_and_tests(project, capsys):
    project.node()
    project.npm()
    lint, test = "node node_modules/eslint/bin/eslint.js", "node --test"
    assert javascript.main([], project.root) == 0
    assert project.asked() == ["npm ci", lint, test]
    assert javascript.main([], project.root) == 0
    assert project.asked() == [lint, test]
    (project.root / "package-lock.json").write_text('{"changed": true}')
    assert javascript.main([], project.root) == 0
    assert project.asked() == ["npm ci", lint, test]
    assert "SKIPPED" not in capsys.readouterr().out


def test_names_the_test_files_itself(project):
    project.node()
    assert javascript.main(["test"], project.root) == 0
    assert project.log.read_text().splitlines()[-1] == "node --test tests/js/one.test.mjs"


@pytest.mark.parametrize("npm", ["exit 1", None])
def test_where_nothing_can_be_installed_the_tests_still_run(project, capsys, npm):
    project.node(test=1)
    if npm:
        project.npm(npm)
    assert javascript.main([], project.root) == 1  # as the tests say
    assert project.asked()[-1] == "node --test"
    assert re.match(r"SKIPPED \[eslint\] .*npm", capsys.readouterr().out)
    assert not (project.root / "node_modules" / ".ready").exists()


@pytest.mark.parametrize(("lint", "test"), [(1, 0), (0, 1), (1, 1)])
def test_a_fault_of_either_fails_and_both_run(project, lint, test):
    project.node(lint=lint, test=test)
    project.npm()
    assert javascript.main([], project.root) == 1
    assert project.asked()[-2:] == ["node node_modules/eslint/bin/eslint.js", "node --test"]


ESLINT = ROOT / "node_modules" / "eslint" / "bin" / "eslint.js"


def faults(script: str) -> str:
    """What ESLint, set as for the explorers' scripts, says of one."""
    name = "--stdin-filename=mstlib/explorers/static/sample.js"
    command = ["node", ESLINT, "--stdin", name]
    return subprocess.run(command, cwd=ROOT, input=script, capture_output=True, text=True).stdout


def function(name: str, lines: int, inside: str = "") -> str:
    """A function of so many lines of code, with a blank line, a comment and another inside."""
    calls = "  root.call();\n" * (lines - 2)
    return f"function {name}() {{\n\n  // what it does\n{inside}{calls}}}\n"


@pytest.mark.skipif(
    shutil.which("node") is None or not ESLINT.exists(), reason="ESLint is not installed here"
)
def test_a_function_has_fifty_lines_of_code_at_most():
    script = '(function (root) {{\n"use strict";\n{}long();\n}})(globalThis);\n'.format
    assert faults(script(function("long", 50))) == ""
    assert "51 lines of code in a function" in faults(script(function("long", 51)))
    # What a function holds counts for itself.
    assert faults(script(function("long", 49, function("short", 40) + "short();\n"))) == ""
    nested = faults(script(function("long", 10, function("short", 51) + "short();\n")))
    assert nested.count("lines of code in a function") == 1
    method = "root.one = class {\n  act() {\n" + "root.call();\n" * 49 + "  }\n};\n"
    assert "51 lines" in faults(script(method + function("long", 3)))


def test_unknown_steps_are_named(project, capsys):
    assert javascript.main(["lint", "tset"], project.root) == 2
    assert capsys.readouterr().err == "steps are lint, test, lock, not tset\n"


def test_the_lock_pins_every_package_by_hash_and_holds_no_address():
    text = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert "http" not in text
    packages = json.loads(text)["packages"]
    assert {"node_modules/eslint", "node_modules/globals"} <= set(packages)
    assert all("integrity" in package for name, package in packages.items() if name)


def test_locking_drops_what_holds_an_address(project):
    project.node()
    lock = '{"packages": {"": {}, "a": {"version": "1.0.0", "funding": {"url": "https://a"}}}}'
    project.npm(f"printf '%s' '{lock}' > package-lock.json")
    assert javascript.main(["lock"], project.root) == 0
    packages = json.loads((project.root / "package-lock.json").read_text())["packages"]
    assert packages == {"": {}, "a": {"version": "1.0.0"}}
