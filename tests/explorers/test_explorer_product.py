"""The explorer of products: the library's neurons, and what it says and draws."""

import random
import re

import pytest
import torch
from desk import drive, say, static
from traitlets import TraitError

from mstlib.explorers import ProductExplorer
from mstlib.neurons import integrate_and_fire


def trains(rate_q, rate_k, start_q, start_k, steps):
    rates = torch.tensor([rate_q, rate_k], dtype=torch.float64).expand(steps, 2)
    starts = torch.tensor([start_q, start_k], dtype=torch.float64)
    return integrate_and_fire(rates, 1.0, starts)[0].unbind(1)


def test_fallback_holds_the_bias():
    rows = re.findall(r"<tr><th scope=\"row\">(\d+)</th>(.*?)</tr>", ProductExplorer().fallback())
    assert [int(steps) for steps, _ in rows] == [8, 32, 64]
    for _, cells in rows:
        assert re.findall(r"<td>(.*?)</td>", cells) == ["0.500", "0.250", "0.250"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rate_q": 1.2}, "rate_q must be a number from 0 to 1, not 1.2"),
        ({"start_k": -0.1}, "start_k must be a number from 0 to 1"),
        ({"steps": 7}, "steps must be a whole number from 8 to 512, not 7"),
    ],
)
def test_bad_settings_are_named(setting, message):
    with pytest.raises(TraitError, match=message):
        ProductExplorer(**setting)


def test_its_neurons_and_products_are_the_library_s(desk):
    draw = random.Random(0)
    settings = [
        {
            "rate_q": draw.random(),
            "rate_k": draw.random(),
            "start_q": draw.random(),
            "start_k": draw.random(),
            "steps": draw.randint(8, 512),
        }
        for _ in range(30)
    ]
    with desk.open(static(ProductExplorer())) as page:
        runs = page.evaluate("all => all.map(mstExplorers.views.product.products)", settings)
    for s, run in zip(settings, runs, strict=True):
        q, k = trains(**s)
        assert run["q"] == q.tolist(), s
        assert run["k"] == k.tolist(), s
        assert run["mean"][-1] == pytest.approx((q * k).mean().item())
        assert run["wanted"][-1] == pytest.approx((q.mean() * k.mean()).item())
        assert len(run["mean"]) == s["steps"]


def test_it_says_and_draws_the_bias(desk):
    with desk.open(static(ProductExplorer())) as page:
        assert say(page) == (
            "T = 64: query 32, key 32, together 32 times. Mean product 0.500, "
            "product of means 0.250: bias +0.250"
        )
        raster = page.locator(".mst-panel").first
        assert [
            raster.locator(f".mst-spike.mst-{c}").count() for c in ("blue", "green", "red")
        ] == [
            32,
            32,
            32,
        ]
        phases = page.locator(".mst-panel").nth(1).locator("svg[role=img]")
        assert phases.get_attribute("aria-label").endswith(
            "from −0.250 to 0.250; yours 0.250 at 0.50."
        )
        page.get_by_label("Start of the key").press("Home")  # out of step: they never meet
        assert phases.get_attribute("aria-label").endswith("; yours −0.250 at 0.00.")
        assert say(page).endswith("together 0 times. Mean product 0.000, product of means 0.250: "
                                  "bias −0.250")  # fmt: skip
        page.get_by_label("Steps T", exact=True).press("End")
        assert say(page).startswith("T = 512: query 256, key 256, together 0 times.")
        assert "the last 64 of 512 steps" in raster.inner_text()
        assert raster.locator(".mst-spike.mst-blue").count() == 32
        drive(page, rate_k=0)
        assert "key 0, together 0 times" in say(page)
