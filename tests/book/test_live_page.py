"""The explorer on the book's first page is the one that the library makes now."""

import sys

from places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from live_page import OUT, page


def test_the_stored_page_is_current():
    assert OUT.read_text(encoding="utf-8") == page(), "run `.venv/bin/python tools/live_page.py`"


def test_the_first_page_includes_it():
    intro = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    assert f":file: {OUT.name}" in intro
