"""The energy explorer: its arithmetic is the library's, in Python and in the page."""

import re

import pytest
from desk import say, static
from explorer_samples import COUNTS, TRACES, explorers
from traitlets import TraitError

from mstlib.analysis.operations import Totals
from mstlib.energy import Costs, whole_numbers
from mstlib.explorers import EnergyExplorer

PLAIN = Totals(**COUNTS)


def microjoules(parts):
    return pytest.approx(1e6 * sum(parts.values()))


def test_at_default_prices_it_is_the_librarys_account():
    found = EnergyExplorer(TRACES).energies(32)
    masked = Totals(**TRACES["mst-digits"]["75 %"])
    assert found == {
        "spikes, unmasked": microjoules(PLAIN.energy(32, whole_numbers())),
        "spikes, masked": microjoules(masked.energy(32, whole_numbers())),
        "numbers of b bits": microjoules(PLAIN.energy_of_numbers(whole_numbers(6), 6)),
        "floats": microjoules(PLAIN.energy_of_numbers(Costs(), 32)),
    }
    floats = EnergyExplorer(TRACES, arithmetic="floats", ratio="0 %").energies(8)
    assert floats["spikes, unmasked"] == floats["spikes, masked"]
    assert floats["spikes, masked"] == microjoules(PLAIN.energy(8, Costs()))


def test_without_a_price_of_memory_only_operations_count():
    found = EnergyExplorer(TRACES, memory=0).energies(4)
    assert found["spikes, unmasked"] == microjoules(PLAIN.energy(4, whole_numbers(), memory=False))
    assert found["floats"] == microjoules(PLAIN.energy_of_numbers(Costs(), 32, memory=False))


def test_totals_are_taken_as_they_are_and_rounded():
    explorer = EnergyExplorer({"net": {"0 %": PLAIN, "50 %": COUNTS | {"adds": 0.4}}})
    assert explorer.traces["net"]["50 %"]["adds"] == 0
    assert (explorer.network, explorer.ratio) == ("net", "50 %")
    assert explorer.fallback().count("<tr>") == 5 + 7  # forms over T; accounts


def test_every_account_comes_from_the_same_counts():
    explorer = EnergyExplorer(TRACES)
    found = explorer.accounts(32)
    spikes, masked, bits, floats = found["Eq. 10, step"]
    assert (spikes, bits) == ("spikes, unmasked", "numbers of b bits")
    assert found["Eq. 10, step"] == {spikes: 2.0, masked: 2.0, bits: None, floats: None}
    assert found["Eq. 10, run"][spikes] == 64  # the other reading: T times as large
    assert (found["delivered"][spikes], found["delivered"][masked]) == (2.0, 1.5)
    assert found["operations"] == {spikes: 6.4, masked: 5.76, bits: 1.0, floats: 1.0}
    operations = PLAIN.energy(32, whole_numbers(), memory=False)
    assert found["MAC + AC"][spikes] == microjoules(operations)
    assert found["+ memory"] == explorer.energies(32)


def test_the_cheapest_form_turns_where_the_energies_cross():
    explorer = EnergyExplorer(TRACES, ratio="0 %")
    (first, before), (turn, after) = explorer.cheapest()
    assert (first, before, after) == (1, "spikes, unmasked", "numbers of b bits")
    below, above = explorer.energies(turn - 1), explorer.energies(turn)
    assert below[before] < below[after]
    assert above[before] > above[after]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EnergyExplorer({}), "traces must hold a network"),
        (lambda: EnergyExplorer({"net": {}}), "each of them a mask ratio"),
        (lambda: EnergyExplorer({"net": {"0 %": {}}}), r"counts of 'net' at 0 % must be \['neur"),
        (lambda: EnergyExplorer({"n": {"0": COUNTS | {"macs": -1}}}), "macs of 'n' at 0 .* not -1"),
        (lambda: EnergyExplorer(TRACES, network="other"), r"among \['mst-digits.*not 'other'"),
        (lambda: EnergyExplorer(TRACES, steps=0), "steps must be a whole number from 1 to 256"),
        (lambda: EnergyExplorer(TRACES, arithmetic="fixed"), "'fixed'"),
        (lambda: EnergyExplorer(TRACES, add=-1), "add must be a number from 0 to 5, not -1"),
        (lambda: EnergyExplorer(TRACES, memory="free"), "memory must be .* not 'free'"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(TraitError, match=message):
        build()


# ---- in a browser ----


def test_energy_agrees_with_python_and_follows_every_control(desk):
    explorer = explorers()["energy"]
    with desk.open(static(explorer)) as page:

        def drawn() -> dict[str, float]:
            text = page.locator(".mst-panel").nth(1).locator("svg").get_attribute("aria-label")
            return {name: float(v) for name, v in re.findall(r"([a-z][\w, -]*?) ([\d.]+) µJ", text)}

        def agree() -> None:
            for name, shown in drawn().items():
                assert shown == pytest.approx(explorer.energies(explorer.steps)[name], rel=0.006)

        assert len(drawn()) == 4
        agree()
        page.get_by_role("slider", name="Steps T").press("Home")
        explorer.steps = 1
        agree()
        for _ in range(5):
            page.get_by_role("slider", name="Steps T").press("ArrowRight")
        explorer.steps = 32
        agree()
        page.get_by_role("radio", name="floats").check()
        explorer.arithmetic = "floats"
        agree()
        page.get_by_role("radio", name="0 %", exact=True).check()
        explorer.ratio = "0 %"
        agree()
        page.get_by_role("combobox", name="Network").select_option("resnet-digits")
        explorer.network = "resnet-digits"
        agree()
        page.get_by_role("radio", name="whole numbers").check()
        explorer.arithmetic = "whole numbers"
        for label, name in (("Add", "add"), ("Multiply", "multiply"), ("Move 64 bits", "memory")):
            slider = page.get_by_role("slider", name=label)
            slider.press("End")
            setattr(explorer, name, float(slider.input_value()))
            agree()
        page.get_by_role("slider", name="Move 64 bits").press("Home")
        explorer.memory = 0
        agree()
        assert "T = 32, b = 6 bits" in say(page)
        (_, before), (turn, after) = explorer.cheapest()
        assert f"The cheapest flips at T = {turn} from {before} to {after}." in say(page)


def test_energy_shows_every_account_and_a_ranking_that_turns(desk):
    explorer = EnergyExplorer(TRACES, steps=16)
    with desk.open(static(explorer)) as page:
        ranking, accounts = (page.locator(".mst-panel").nth(k).locator("svg") for k in (1, 2))
        for key, steps in (("Home", 1), ("End", 256)):
            page.get_by_role("slider", name="Steps T").press(key)
            for name, row in explorer.accounts(steps).items():
                said = accounts.get_attribute("aria-label").split(f"{name}: ")[1].split(". ")[0]
                found = {
                    f: float(v) for f, v in re.findall(r"([a-z][\w, ]*?) (\d+(?:\.\d+)?)", said)
                }
                wanted = {form: value for form, value in row.items() if value is not None}
                assert found == pytest.approx(wanted, rel=0.006), name
            energies = explorer.energies(steps)
            order = sorted(energies, key=energies.get)
            shown = ranking.get_attribute("aria-label")
            assert sorted(order, key=shown.index) == order
            assert f"Cheapest now: {order[0]}," in say(page)
        assert len({form for _, form in explorer.cheapest()}) == 2  # spikes first, numbers then
