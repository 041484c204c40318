"""The explorer of a conversion's price in a browser: curves, ledger, a logarithmic slider."""

import itertools
import math
import re

import pytest
from desk import drive, say, static
from explorer_samples import CURVES, LEDGER

from mstlib.explorers import ConversionExplorer


def test_conversion_shows_what_is_stored(desk):
    explorer = ConversionExplorer(CURVES, LEDGER, network="mst-scenes")
    with desk.open(static(explorer)) as page:
        account, stored = LEDGER["mst-scenes"], CURVES["mst-scenes"]["accuracy"]
        assert say(page) == (
            f"mst-scenes, T = 32: accuracy {100 * stored[31]:.1f} %, QCFS network 99.9 %. "
            "Largest error at T = 32: product, 0.183"
        )
        bars = page.locator(".mst-panel").nth(1)
        widths = bars.locator("svg[role=img] rect").evaluate_all(
            "es => es.map(e => +e.getAttribute('width'))"
        )
        errors = [row[2] for row in account["error"]]
        assert len(widths) == len(errors)
        for width, error in zip(widths, errors, strict=True):
            assert width / max(widths) == pytest.approx(error / max(errors), abs=0.01)
        cells = page.locator(".mst-panel").nth(2).locator(".mst-small").all_text_contents()
        assert cells[:5] == ["0.021"] * 5
        assert cells[5:7] == ["0.11", "0.056"]
        assert cells[-3] == "1e−4"


def test_conversion_slider_is_logarithmic(desk):
    explorer = ConversionExplorer(CURVES, LEDGER, network="mst-scenes", steps=1)
    with desk.open(static(explorer)) as page:
        slider = page.get_by_label("Steps T")
        seen = [1]
        while len(seen) < 200 and seen[-1] < 128:
            slider.press("ArrowRight")
            seen.append(int(slider.get_attribute("aria-valuetext")))
            stored = CURVES["mst-scenes"]["accuracy"][seen[-1] - 1]
            assert f"T = {seen[-1]}: accuracy {100 * stored:.1f} %" in say(page)
        assert seen[-1] == 128
        assert seen[:4] == [1, 2, 3, 4]
        assert len(seen) < 60
        assert {8, 16, 32, 64} < set(seen)
        ratios = [b / a for a, b in itertools.pairwise(seen) if a >= 16]
        assert max(ratios) < 1.14


def test_conversion_takes_the_nearest_stored_step_and_misses_no_ledger(desk):
    explorer = ConversionExplorer(CURVES, LEDGER, network="mst-scenes", steps=90)
    with desk.open(static(explorer)) as page:
        title = page.locator(".mst-panel .mst-title").nth(1)
        assert title.inner_text() == "Error by cause at T = 64"  # log2: 90 lies below 90.5
        drive(page, steps=91)
        assert title.inner_text() == "Error by cause at T = 128"
        assert math.sqrt(64 * 128) == pytest.approx(90.5, abs=0.02)
        page.get_by_label("Network", exact=True).select_option("mst-digits")
        assert say(page).startswith("mst-digits, T = 91: accuracy ")
        assert page.get_by_text("No ledger of errors is stored for this network.").is_visible()
        assert page.locator(".mst-panel:visible").count() == 1
        drive(page, network="mst-scenes")
        assert page.locator(".mst-panel:visible").count() == 3
        assert re.search(r"T = 128: product, 0\.183$", say(page))
