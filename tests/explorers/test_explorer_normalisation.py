"""The explorer of LayerNorm against BatchNorm in a browser."""

import pytest
from desk import drive, say, static
from explorer_samples import PROFILES, explorers


def test_normalisation_shows_what_is_stored_and_follows_every_control(desk):
    with desk.open(static(explorers()["normalisation"])) as page:
        assert say(page) == (
            "T = 32. BatchNorm: distance 0.012 θ, 82.0 % of the values near 0, "
            "in the trained network 70.0 %. LayerNorm: distance 0.012 θ, "
            "88.0 % of the values near 0, in the trained network 70.0 %"
        )
        panels = page.locator(".mst-panel")
        away = panels.nth(2)
        for norm, spread in (("BatchNorm", panels.nth(0)), ("LayerNorm", panels.nth(1))):
            bars = spread.locator("svg[role=img] rect").evaluate_all(
                "es => es.map(e => +e.getAttribute('width'))"
            )
            layer = PROFILES[norm]["layers.0.blocks.0.mlp.fc2_if"]
            for width, share in zip(bars, layer["snn"][2], strict=True):
                assert width / max(bars) == pytest.approx(share / max(layer["snn"][2]), abs=0.01)
            assert spread.locator("circle[r='5']").count() == len(bars)
            assert spread.locator(".mst-title").inner_text() == f"{norm}, T = 32"

        page.get_by_label("Steps T").press("Home")
        assert say(page).startswith("T = 2. BatchNorm: distance 0.300 θ, 90.0 % of the values")
        page.get_by_label("Layer of neurons").select_option("patch_embed.proj_if")
        page.get_by_label("Steps T").press("ArrowRight")
        assert "LayerNorm: distance 0.050 θ" in say(page)
        drive(page, norm="LayerNorm")
        assert say(page).startswith("T = 8. LayerNorm: distance 0.050 θ")
        label = away.locator("svg[role=img]").get_attribute("aria-label")
        assert "LayerNorm: 0.200 at T = 2, 0.050 at T = 8, 0.012 at T = 32" in label
