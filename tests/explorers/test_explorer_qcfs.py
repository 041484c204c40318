"""The explorer of QCFS in a browser: the library's staircases, and when the two coincide."""

import random

import pytest
import torch
from desk import drive, say, static

from mstlib.explorers import QCFSExplorer
from mstlib.neurons import integrate_and_fire
from mstlib.qcfs import qcfs


def test_qcfs_and_its_neuron_are_the_library_s(desk):
    draw = random.Random(1)
    settings = [
        [draw.uniform(0.5, 2), draw.randint(1, 32), draw.randint(1, 64), draw.uniform(0, 1)]
        for _ in range(20)
    ]
    inputs = [draw.uniform(-0.5, 1.5) for _ in range(40)]
    with desk.open(static(QCFSExplorer())) as page:
        found = page.evaluate(
            """([settings, inputs]) => {
                const { qcfs, fire, meanDifference } = mstExplorers.views.qcfs;
                return settings.map(([theta, L, T, start]) => [
                    inputs.map((z) => qcfs(z * theta, theta, L)),
                    inputs.map((z) => fire(z * theta, theta, T, start)),
                    meanDifference(theta, T, start),
                ]);
            }""",
            [settings, inputs],
        )
    for (theta, levels, steps, start), (staircase, rates, mean) in zip(
        settings, found, strict=True
    ):
        z = theta * torch.tensor(inputs, dtype=torch.float64)
        assert staircase == pytest.approx(qcfs(z, theta, levels).tolist(), abs=1e-12)
        spikes, _ = integrate_and_fire(z.repeat(steps, 1), theta, start * theta)
        assert rates == pytest.approx((theta * spikes.mean(0)).tolist(), abs=1e-12)
        even = theta * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        spikes, _ = integrate_and_fire(even.repeat(steps, 1), theta, start * theta)
        measured = (theta * spikes.mean(0) - qcfs(even, theta, levels)).mean().item()
        assert mean == pytest.approx(measured, abs=theta * 1e-3)


@pytest.mark.parametrize("size", [1, 7, 8, 32])
def test_staircases_coincide_only_with_as_many_steps_as_levels_from_half(desk, size):
    with desk.open(static(QCFSExplorer(levels=size, steps=size))) as page:
        line = page.locator(".mst-panel svg[role=img]").nth(1)
        assert "the two staircases coincide. " in say(page)
        marks = page.locator(".mst-panel svg[role=img]").first.locator(".mst-fill")
        assert marks.count() == 0
        assert say(page).endswith("0.0000")
        assert line.get_attribute("aria-label") == (
            "The difference is zero everywhere, for inputs from −0.25 to 1.25."
        )
        page.get_by_label("Steps T").press("ArrowRight")
        assert "they differ by up to" in say(page)
        assert say(page).endswith("0.0000")  # the mean stays zero
        assert marks.count() == 1
        drive(page, steps=size)
        page.get_by_label("Start v₀").press("Home")
        assert "they differ by up to" in say(page)
        assert say(page).endswith(f"−{0.5 / size:.4f}")
