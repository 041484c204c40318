"""The explorer of cost: its arithmetic in Python and in the page, and what it refuses."""

import itertools

import pytest
import traitlets
from desk import static
from explorer_samples import explorers

from mstlib.explorers import CostExplorer
from mstlib.explorers.cost import TASKS
from mstlib.scale.cost import DEVICES, IMAGES, Memory

MEMORY = Memory(400_000_000, 300_000_000, 200_000_000)
RATES = {"batch": [1, 4], "training": [0.3, 0.41], "simulation": [9.0, 9.7], "watts": 60}
LAPTOP = {"a laptop": RATES}


def test_a_measured_device_needs_no_guess():
    explorer = CostExplorer(10**9, MEMORY, LAPTOP, epochs=10, devices=1, pue=1.5)
    hours, kwh = explorer.cost("a laptop")
    assert hours == pytest.approx(50_000 * 10 / 0.41 / 3600)
    assert kwh == pytest.approx(hours * 60 * 1.5 / 1000)
    explorer.utilisation = 80
    assert explorer.cost("a laptop") == (hours, kwh)
    explorer.task = "simulate"
    assert explorer.cost("a laptop")[0] == pytest.approx(10_000 * 256 / 9.7 / 3600)
    explorer.task = "distil"
    assert explorer.cost("a laptop")[0] == pytest.approx(hours * 4 / 3)


def test_a_measured_device_is_as_fast_as_with_its_largest_batch_that_is_not_larger():
    explorer = CostExplorer(10**9, MEMORY, LAPTOP, epochs=1, devices=1)
    rates = {}
    for batch in (1, 3, 4, 500):
        explorer.batch = batch
        rates[batch] = 50_000 / 3600 / explorer.cost("a laptop")[0]
    assert rates == {b: pytest.approx(r) for b, r in ((1, 0.3), (3, 0.3), (4, 0.41), (500, 0.41))}


def test_memory_is_that_of_the_weights_and_of_each_image():
    explorer = CostExplorer(10**9, MEMORY, LAPTOP, batch=10)
    assert explorer.held("a laptop") == pytest.approx(0.4 + 10 * 0.3)
    assert explorer.held("H100 SXM, 16 bits") == pytest.approx(0.4 + 10 * 0.2)
    explorer.task = "distil"
    assert explorer.held("a laptop") == pytest.approx(0.5 + 10 * 0.3)
    explorer.task = "simulate"
    assert explorer.held("a laptop") is None


def test_an_estimate_is_the_makers_figure_times_the_utilisation():
    explorer = CostExplorer(10**9, MEMORY, epochs=2, devices=4, utilisation=25, pue=1)
    device = DEVICES["A100 SXM, 16 bits"]
    hours, kwh = explorer.cost("A100 SXM, 16 bits")
    assert hours == pytest.approx(2e9 * 3 * 100_000 / (device.flops * 0.25 * 4) / 3600)
    assert kwh == pytest.approx(hours * 4 * 400 / 1000)
    alone = explorer.cost("A100 SXM, 16 bits", 1)
    assert alone == (pytest.approx(4 * hours), pytest.approx(kwh))


def test_the_table_says_what_was_measured_and_what_not():
    html = CostExplorer(10**9, MEMORY, LAPTOP).to_html()
    assert 'data-widget="cost"' in html
    assert html.count("<td>estimated</td>") == len(DEVICES)
    assert html.count("<td>measured</td>") == 1


def test_the_page_computes_what_python_does(desk):
    explorer = explorers()["cost"]
    with desk.open(static(explorer)) as page:
        for task, data, (utilisation, batch) in itertools.product(
            TASKS, IMAGES, ((7, 1), (90, 64))
        ):
            explorer.task, explorer.data, explorer.utilisation = task, data, utilisation
            explorer.batch = batch
            state = {name: getattr(explorer, name) for name in explorer._settings}
            for name in explorer.machines:
                got = page.evaluate(
                    "([s, name]) => mstExplorers.views.cost.cost(s, name, 3)", [state, name]
                )
                assert got == pytest.approx(explorer.cost(name, 3), rel=1e-12)
                held = page.evaluate(
                    "([s, name]) => mstExplorers.views.cost.held(s, name)", [state, name]
                )
                here = explorer.held(name)
                assert held == (here if here is None else pytest.approx(here, rel=1e-12))


def test_the_page_says_how_many_images_fit(desk):
    explorer = explorers()["cost"]
    explorer.device = name = "RTX 3090, 32 bits"
    with desk.open(static(explorer)) as page:
        state = {setting: getattr(explorer, setting) for setting in explorer._settings}
        most = page.evaluate(
            "([s, name]) => mstExplorers.views.cost.fitting(s, name)", [state, name]
        )
        explorer.batch = most
        assert explorer.held(name) <= DEVICES[name].memory
        explorer.batch = most + 1
        assert explorer.held(name) > DEVICES[name].memory
        assert f"128 images do not fit: take up to {most} at a time" in page.inner_text("body")


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (0.001, "3.60 seconds"),
        (0.5, "30.0 minutes"),
        (30, "30.0 hours"),
        (100, "4.17 days"),
        (50_000, "5.71 years"),
        (2.5e10, "2.9 million years"),
    ],
)
def test_times_are_said_as_people_say_them(desk, hours, said):
    with desk.open(static(explorers()["cost"])) as page:
        assert page.evaluate("h => mstExplorers.views.cost.spoken(h)", hours) == said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "MNIST"}, "data must be among"),
        ({"device": "abacus"}, "device must be among"),
        ({"devices": 0}, "devices must be a whole number from 1 to 64"),
        ({"utilisation": 0}, "utilisation must be a number from 1 to 100"),
        ({"pue": 0.9}, "pue must be a number from 1 to 2"),
        ({"batch": 0}, "batch must be a whole number from 1 to 512"),
        ({"measured": {"x": {"training": [1.0]}}}, "must have watts and, of equal length, lists"),
        ({"measured": {"x": RATES | {"watts": 0}}}, "each number above 0"),
        ({"measured": {"x": RATES | {"batch": [4, 1]}}}, r"batch \(rising\)"),
        ({"measured": {"x": RATES | {"training": [1.0]}}}, "of equal length"),
        ({"measured": {"x": RATES | {"simulation": []}}}, "of equal length"),
    ],
)
def test_refuses_what_makes_no_sense(settings, message):
    with pytest.raises(traitlets.TraitError, match=message):
        CostExplorer(10**9, MEMORY, **settings)
