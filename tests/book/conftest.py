"""A real browser on the built book: any test of this folder may ask for `book`.

Without a browser, or without a built book, the tests are skipped and say why.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from chromium import AXE
from pages import WATCH
from places import ROOT
from playwright.sync_api import Browser, Page
from serving import served

HTML = ROOT / "_build" / "html"
LOCAL = ("http://127.0.0.1:", "file:", "data:", "blob:", "about:")


@dataclass
class Troubles:
    """What went wrong while a page was open; empty lists if nothing did."""

    outside: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda r: self._note(self.outside, not r.url.startswith(LOCAL), r.url))
        page.on("requestfailed", lambda r: self._note(self.missing, True, r.url))
        page.on("response", lambda r: self._note(self.missing, r.status >= 400, r.url))
        page.on("pageerror", lambda e: self._note(self.errors, True, str(e)))
        page.on(
            "console",
            lambda m: self._note(self.errors, m.type == "error", f"{m.text} ({m.location['url']})"),
        )

    @staticmethod
    def _note(where: list[str], wrong: bool, what: str) -> None:
        if wrong:
            where.append(what)

    def check(self) -> None:
        assert not self.outside, f"the page asks the network for {self.outside}"
        assert not self.missing, f"the page asks for files that are not there: {self.missing}"
        assert not self.errors, f"the page throws {self.errors}"


@dataclass
class Book:
    """The built book: where it lies, and how to open one of its pages."""

    browser: Browser
    address: str

    @contextmanager
    def open(
        self,
        name: str,
        *,
        scheme: str = "http",
        mode: str = "light",
        width: int = 1280,
        motion: str = "reduce",
        scripts: bool = True,
        query: str = "",
        strict: bool = True,
        first: str = "",
    ) -> Iterator[Page]:
        """Open the page `name` (such as ``book/intro``); fail on close if it misbehaved.

        The page is handed over once its equations are set and its explorers run. `first` is a
        script that runs before the page's own.
        """
        troubles = Troubles()
        base = self.address if scheme == "http" else HTML.as_uri()
        with self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=mode,
            reduced_motion=motion,
            java_script_enabled=scripts,
        ) as context:
            page = context.new_page()
            troubles.watch(page)
            page.add_init_script(first)
            page.goto(f"{base}/{name}.html{query}")
            if scripts:
                page.evaluate("() => globalThis.MathJax?.startup?.promise.then(() => null)")
                page.evaluate("() => mstExplorers.start()")
            yield page
        if strict:
            troubles.check()


@pytest.fixture(scope="session")
def book(browser: Browser) -> Iterator[Book]:
    if not (HTML / "index.html").exists():
        pytest.skip("the book is not built: run `make book`")
    with served(HTML) as address:
        yield Book(browser, address)


@pytest.fixture(scope="module")
def name(request: pytest.FixtureRequest) -> str:
    """The name of the `page`; see `pages.on_each`."""
    return request.param


@pytest.fixture(scope="module")
def page(book: Book, name: str) -> Iterator[Page]:
    """One page of the book, opened once for all tests of a module, which leave it as it is.

    It knows as `usable` when its explorers were ready; and it has the buttons that play.
    """
    with book.open(name, motion="no-preference", first=WATCH) as page:
        yield page


@pytest.fixture(scope="session")
def axe() -> Callable[..., list[str]]:
    """A function that lists a page's accessibility faults; it takes what and how axe.run does."""
    source = AXE.read_text(encoding="utf-8")

    def faults(page: Page, where: dict, **how: object) -> list[str]:
        if not page.evaluate("() => Boolean(globalThis.axe)"):
            page.evaluate(source)
        options = {"resultTypes": ["violations"]} | how
        found = page.evaluate("([where, how]) => axe.run(where, how)", [where, options])
        return [
            f"{v['id']} ({v['help']}): {node['html'][:200]}"
            for v in found["violations"]
            for node in v["nodes"]
        ]

    return faults
