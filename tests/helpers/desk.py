"""Small pages that hold explorers and no kernel: what they are made of, and how they are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from mstlib.explorers import NetworkExplorer

COLOURS = {"light": "background:#fff;color:#222", "dark": "background:#14181e;color:#ced6dd"}


@dataclass
class Desk:
    """Writes small pages and opens them, over http or as files; faults fail the test."""

    browser: Browser
    folder: Path
    address: str

    @contextmanager
    def open(
        self,
        body: str,
        *,
        scheme: str = "http",
        mode: str = "light",
        width: int = 1280,
        motion: str = "reduce",
        strict: bool = True,
        **options: object,
    ) -> Iterator[Page]:
        (self.folder / "page.html").write_text(
            f'<!doctype html><html lang="en" data-theme="{mode}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>Explorers</title>'
            f'<link rel="stylesheet" href="explorers.css"><style>body{{{COLOURS[mode]}}}</style>'
            f"<body><main><h1>Explorers</h1>{body}</main></body></html>",
            encoding="utf-8",
        )
        screen = {"width": width, "height": 800}
        with self.browser.new_context(viewport=screen, reduced_motion=motion, **options) as context:
            page, faults = context.new_page(), []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
            page.on("requestfailed", lambda request: faults.append(request.url))
            base = self.address if scheme == "http" else self.folder.as_uri()
            page.goto(f"{base}/page.html")
            if options.get("java_script_enabled", True):
                page.evaluate("globalThis.mstExplorers?.start?.()")  # all of them run
            yield page
        assert not (strict and faults)

    @contextmanager
    def live(self, explorer: NetworkExplorer, first: str = "", **options: object) -> Iterator[Page]:
        """A page, from a file, with one explorer that the page itself answers; it has answered.

        `first` is a script that runs before all others.
        """
        body = f"<script>{first}</script>{static(explorer)}"
        with self.open(body, scheme="file", motion="no-preference", **options) as page:
            answer(page)
            yield page


def static(*shown: object) -> str:
    """What a page of the built book holds: the outputs' HTML, and the host."""
    return "".join(e.to_html() for e in shown) + '<script src="mst_host.js"></script>'


def say(page: Page) -> str:
    return page.locator(".mst-say").inner_text()


def drive(page: Page, **settings: object) -> None:
    """What a kernel does: assign to settings."""
    page.evaluate(
        """(settings) => {
            const model = document.querySelector(".mst-widget").mstModel;
            for (const [name, value] of Object.entries(settings)) model.set(name, value);
        }""",
        settings,
    )


def answer(page: Page) -> dict:
    """Wait for the live explorer's answer to the present settings, and return it."""
    page.wait_for_function(
        """() => {
            const model = document.querySelector(".mst-widget").mstModel;
            const { key } = model.get("answer") ?? { key: "{}" };
            const asked = Object.entries(JSON.parse(key));
            return asked.length > 5 && asked.every(([name, value]) => model.get(name) === value);
        }"""
    )
    return page.evaluate("document.querySelector('.mst-widget').mstModel.get('answer')")


def ask(page: Page, **settings: object) -> dict:
    """Assign to settings of the live explorer; return its answer to them."""
    drive(page, **settings)
    return answer(page)
