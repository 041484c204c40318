"""The explorer of cost: its arithmetic in Python and in the page, and what it refuses."""

import itertools

import pytest
import traitlets
from explorer_samples import explorers
from test_explorers_browser import desk, in_thread, pytestmark, static  # noqa: F401

from mstlib.explorers import CostExplorer
from mstlib.explorers.cost import TASKS
from mstlib.scale.cost import DEVICES, IMAGES

LAPTOP = {"a laptop": {"training": 0.41, "simulation": 9.7, "watts": 60}}


def test_a_measured_device_needs_no_guess():
    explorer = CostExplorer(10**9, LAPTOP, epochs=10, devices=1, pue=1.5)
    hours, kwh = explorer.cost("a laptop")
    assert hours == pytest.approx(50_000 * 10 / 0.41 / 3600)
    assert kwh == pytest.approx(hours * 60 * 1.5 / 1000)
    explorer.utilisation = 80
    assert explorer.cost("a laptop") == (hours, kwh)
    explorer.task = "simulate"
    assert explorer.cost("a laptop")[0] == pytest.approx(10_000 * 256 / 9.7 / 3600)
    explorer.task = "distil"
    assert explorer.cost("a laptop")[0] == pytest.approx(hours * 4 / 3)


def test_an_estimate_is_the_makers_figure_times_the_utilisation():
    explorer = CostExplorer(10**9, epochs=2, devices=4, utilisation=25, pue=1)
    device = DEVICES["A100 SXM, 16 bits"]
    hours, kwh = explorer.cost("A100 SXM, 16 bits")
    assert hours == pytest.approx(2e9 * 3 * 100_000 / (device.flops * 0.25 * 4) / 3600)
    assert kwh == pytest.approx(hours * 4 * 400 / 1000)
    alone = explorer.cost("A100 SXM, 16 bits", 1)
    assert alone == (pytest.approx(4 * hours), pytest.approx(kwh))


def test_the_table_says_what_was_measured_and_what_not():
    html = CostExplorer(10**9, LAPTOP).to_html()
    assert 'data-widget="cost"' in html
    assert html.count("<td>estimated</td>") == len(DEVICES)
    assert html.count("<td>measured</td>") == 1


@in_thread
def test_the_page_computes_what_python_does(desk):  # noqa: F811
    explorer = explorers()["cost"]
    with desk.open(static(explorer)) as page:
        for task, data, utilisation in itertools.product(TASKS, IMAGES, (7, 90)):
            explorer.task, explorer.data, explorer.utilisation = task, data, utilisation
            state = {name: getattr(explorer, name) for name in explorer._settings}
            for name in explorer.machines:
                got = page.evaluate(
                    "([s, name]) => mstExplorers.views.cost.cost(s, name, 3)", [state, name]
                )
                assert got == pytest.approx(explorer.cost(name, 3), rel=1e-12)


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
@in_thread
def test_times_are_said_as_people_say_them(desk, hours, said):  # noqa: F811
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
        ({"measured": {"x": {"training": 1.0}}}, "must have training, simulation and watts"),
        ({"measured": {"x": dict.fromkeys(("training", "simulation", "watts"), 0)}}, "above 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings, message):
    with pytest.raises(traitlets.TraitError, match=message):
        CostExplorer(10**9, **settings)
