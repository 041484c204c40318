"""The pages of the book and the explorers on each, as their sources tell, built or not."""

import json
import re
from functools import cache

import pytest
import yaml
from places import ROOT
from playwright.sync_api import Page


@cache
def pages() -> list[str]:
    """Every page's address, without its ending, in the order of the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


@cache
def widgets(name: str) -> list[str]:
    """The views on a page, in order: in a notebook's outputs, or in a file that a page includes."""
    notebook = ROOT / f"{name}.ipynb"
    if notebook.exists():
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        parts = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    else:
        page = ROOT / f"{name}.md"
        included = re.findall(r"^:file: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        parts = [(page.parent / file).read_text(encoding="utf-8") for file in included]
    pattern = r'<div class="mst-widget" data-widget="(\w+)" data-state='
    return [view for part in parts for view in re.findall(pattern, part)]


WITH_EXPLORERS = [name for name in pages() if widgets(name)]
WITHOUT = [name for name in pages() if not widgets(name)]


def each(names: list[str]) -> pytest.MarkDecorator:
    """For tests that open a page themselves."""
    return pytest.mark.parametrize("name", names)


def on_each(names: list[str]) -> pytest.MarkDecorator:
    """For tests that use the fixture `page`, which is opened once for all of a module."""
    return pytest.mark.parametrize("name", names, indirect=True, scope="module")


# Runs before a page's own scripts, and notes when its explorers answer: they are drawn, the frame
# with them is on the screen, and the page is free to take a key.
WATCH = """document.addEventListener("DOMContentLoaded", () => {
    mstExplorers.start().then(() =>
        requestAnimationFrame(() => setTimeout(() => { window.usable = performance.now(); })));
});"""
# Nothing has come for half a second. Chromium's own word for that, "networkidle", is not always
# given on a busy machine.
_QUIET = """() => new Promise((done) => {
    let known = -1;
    const look = () => {
        const now = performance.getEntriesByType("resource").length;
        if (now === known) return done();
        known = now;
        setTimeout(look, 500);
    };
    look();
})"""


def settle(page: Page) -> None:
    """Wait until a page has loaded all that it asks for by itself."""
    page.wait_for_load_state("load")
    page.evaluate(_QUIET)
