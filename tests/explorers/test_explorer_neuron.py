"""The neuron's explorer in a browser: the library's spikes, what it says and draws, its cursor."""

import datetime
import random

import pytest
import torch
from desk import drive, say, static
from playwright.sync_api import expect

from mstlib.explorers import NeuronExplorer
from mstlib.neurons import RESETS, integrate_and_fire


def test_neuron_is_the_library_s(desk):
    draw = random.Random(0)
    settings = [
        {
            "current": draw.uniform(-0.2, 1.5),
            "threshold": draw.uniform(0.5, 2),
            "reset": reset,
            "start": start,
            "steps": draw.randint(1, 128),
        }
        for reset in RESETS
        for start in (0, 0.5)
        for _ in range(50)
    ]
    with desk.open(static(NeuronExplorer())) as page:
        runs = page.evaluate("all => all.map(mstExplorers.views.neuron.simulate)", settings)
    fired = 0
    for s, run in zip(settings, runs, strict=True):
        current = torch.full((s["steps"],), s["current"], dtype=torch.float64)
        v0 = s["start"] * s["threshold"]
        spikes, potentials = integrate_and_fire(current, s["threshold"], v0, s["reset"])
        assert run["spikes"] == spikes.tolist(), s
        assert run["potentials"] == pytest.approx(potentials.tolist(), abs=1e-12), s
        fired += sum(run["spikes"])
    assert fired > 1000


def test_neuron_says_its_rate_and_follows_every_control(desk):
    with desk.open(static(NeuronExplorer())) as page:
        assert say(page) == (
            "12 spikes in 40 steps: θN/T = 0.300 for a current of 0.300. "
            "With reset to zero: 10 spikes, θN/T = 0.250"
        )
        page.get_by_label("back to zero").check()
        assert say(page) == (
            "10 spikes in 40 steps: θN/T = 0.250 for a current of 0.300. "
            "With soft reset: 12 spikes, θN/T = 0.300"
        )
        current = page.get_by_label("Current", exact=True)
        current.press("Home")
        assert say(page).startswith("0 spikes in 40 steps: θN/T = 0.000 for a current of −0.200.")
        current.press("End")
        current.press("ArrowLeft")
        assert current.get_attribute("aria-valuetext") == "1.49"
        assert say(page).startswith("40 spikes in 40 steps: θN/T = 1.000")
        page.get_by_label("Steps T").press("Home")
        assert say(page).startswith("1 spike in 1 step: ")
        page.get_by_label("Threshold θ").press("End")
        assert say(page).startswith("1 spike in 1 step: θN/T = 2.000")
        page.get_by_label("0", exact=True).check()
        assert say(page).startswith("0 spikes in 1 step")


def test_neuron_draws_what_it_says(desk):
    with desk.open(static(NeuronExplorer())) as page:
        soft, zero, raster, rate = page.locator(".mst-panel").all()
        assert soft.locator("svg[role=img] .mst-dot").count() == 12
        assert soft.locator(".mst-bar").count() == 0  # a soft reset throws nothing away
        assert zero.locator("svg[role=img] .mst-dot").count() == 10
        # 0.5 → 1.1, and then always from 0 to 1.2: 0.1 and nine times 0.2
        assert zero.locator(".mst-bar").count() == 10
        assert "1.90 thrown away" in zero.locator("svg").get_attribute("aria-label")
        assert raster.locator(".mst-spike.mst-blue").count() == 12
        assert raster.locator(".mst-spike.mst-red").count() == 10
        label = rate.locator("svg[role=img]").get_attribute("aria-label")
        assert label.endswith("Your neuron: 0.300 at 0.30.")
        assert "soft reset" in soft.inner_text()


def test_neuron_cursor_looks_at_one_step(desk):
    with desk.open(static(NeuronExplorer())) as page:
        note = page.locator(".mst-note")
        assert note.inner_text() == (
            "After step 40: soft reset v = 0.500, 12 spikes; "
            "reset to zero v = 0.600, 10 spikes, 1.900 thrown away."
        )
        cursor = page.get_by_label("Cursor")
        for _ in range(35):
            cursor.press("ArrowLeft")
        # 0.5 + 5 · 0.3 = 2.0: two spikes, nothing left; or one spike, 0.1 lost, and 0.9 since
        assert note.inner_text() == (
            "After step 5: soft reset v = 0.000, 2 spikes; "
            "reset to zero v = 0.900, 1 spike, 0.100 thrown away."
        )
        assert say(page).startswith("12 spikes in 40 steps")
        cursor.press("End")
        page.get_by_label("Steps T").press("End")
        assert "After step 128" in page.locator(".mst-note").inner_text()


def test_a_kernel_drives_the_view(desk):
    with desk.open(static(NeuronExplorer())) as page:
        drive(page, threshold=2)
        assert say(page).startswith("6 spikes in 40 steps: θN/T = 0.300 for a current of 0.300.")
        assert page.get_by_label("Threshold θ").input_value() == "2"
        drive(page, reset="zero")
        assert page.get_by_label("back to zero").is_checked()
        drive(page, time=3)
        assert "After step 3:" in page.locator(".mst-note").inner_text()


def test_play_moves_the_cursor_to_the_end_unless_motion_is_unwanted(desk):
    shown = static(NeuronExplorer(steps=6))
    with desk.open(shown) as page:
        assert page.locator(".mst-button").count() == 0
    with desk.open(shown, motion="no-preference") as page:
        button, note = page.locator(".mst-button"), page.locator(".mst-note")
        page.clock.install()  # the page's time is what the test says, however busy the machine
        page.clock.pause_at(datetime.datetime.now() + datetime.timedelta(days=1))
        button.click()
        expect(button).to_have_text("Pause")
        for step in (1, 2):
            page.clock.run_for(150)
            assert f"After step {step}:" in note.inner_text()
        stopped = note.inner_text()
        button.click()
        page.clock.run_for(5000)
        assert note.inner_text() == stopped
        button.click()
        page.clock.run_for(5000)
        expect(note).to_contain_text("After step 6:")
        expect(button).to_have_text("Play")
