"""Write the live explorer that stands on the book's first page: book/_live.html.

Usage: python tools/live_page.py

The first page is no notebook, so that it has no cell whose output could be stored.
"""

from pathlib import Path

from mstlib.explorers import NetworkExplorer

OUT = Path(__file__).resolve().parent.parent / "book" / "_live.html"


def page() -> str:
    """Return the explorer as HTML, for a page without a kernel."""
    return NetworkExplorer("mst-digits", ratio=0.5).to_html() + "\n"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
