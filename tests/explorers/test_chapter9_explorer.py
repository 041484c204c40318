"""The energy explorer from Python: its arithmetic is the library's, and bad settings are named."""

import pytest
from explorer_samples import COUNTS, TRACES
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
