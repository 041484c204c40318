"""The pages of the book, for tests that open each of them."""

import pytest
import yaml
from places import ROOT
from playwright.sync_api import Page


def pages() -> list[str]:
    """Every page's address, without its ending, in the order of the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


every_page = pytest.mark.parametrize("name", pages())
# For tests that leave a page as they find it: it is opened once for all of a module, as `page`.
on_every_page = pytest.mark.parametrize("page", pages(), indirect=True, scope="module")


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
