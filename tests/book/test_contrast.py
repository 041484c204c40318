"""Whether the measure of contrast is right; every page is measured in test_pages.py."""

import pytest
from contrast import MEASURE


@pytest.mark.parametrize(
    ("style", "ratio"),
    [
        ("color: #777; background: #fff", 4.48),
        ("color: #000; background: #fff", 21),
        ("color: rgba(0, 0, 0, 0.5); background: #fff", 3.98),
        ("color: #fff; background: color-mix(in srgb, #000 50%, #fff)", 3.98),
        ("color: #000; background: #fff; opacity: 0.5", 3.98),
    ],
)
def test_the_measure_is_right(book, style, ratio):
    """Ratios known from other tools, on a text put into a page."""
    with book.open("book/bibliography") as page:
        page.evaluate(
            """style => { document.querySelector(".bd-article").innerHTML =
                `<div style="background: #fff"><p style="${style}">words</p></div>`; }""",
            style,
        )
        found = page.evaluate(MEASURE)
        assert found["texts"] == 1
        assert found["least"] * 4.5 == pytest.approx(ratio, abs=0.02)
        assert bool(found["faults"]) == (ratio < 4.5)
