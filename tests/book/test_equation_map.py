"""The map of equations: each is where the map says, and none is left out."""

import re
import sys
from dataclasses import replace

import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from equation_map import PAGE, MapError, Place, address, code, page, read

PLACES = read()
GOOD = Place(
    label="eq-paper-3",
    name="Who fires",
    symbol="mstlib.neurons.if_step",
    line="u >= threshold",
    notebook="01_spiking_neurons",
    section="One neuron, one step",
)


def test_the_page_is_that_of_the_map():
    # `page` raises `MapError` where a symbol, its line or a section is gone.
    said = "run `.venv/bin/python tools/equation_map.py`"
    assert PAGE.read_text(encoding="utf-8") == page(PLACES), said


def test_every_equation_of_the_notation_is_on_the_map():
    notation = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    labels = re.findall(r"^\$\$ \((eq-[\w-]+)\)$", notation, re.M)
    assert len(labels) >= 12
    assert {f"eq-paper-{number}" for number in range(1, 11)} <= set(labels)
    assert set(labels) <= {place.label for place in PLACES}


@pytest.mark.parametrize(
    "symbol",
    ["mstlib.neurons.if_step", "mstlib.engine.kernels.fire", "mstlib.analysis.ledger.averages"],
)
def test_code_is_found(symbol):
    """Also behind a decorator, and where it has been compiled."""
    file, line = code(replace(GOOD, symbol=symbol, line="def "))
    assert file == symbol.rpartition(".")[0].replace(".", "/") + ".py"
    assert line.startswith(f"def {symbol.rpartition('.')[2]}(")


def test_an_address_is_that_of_the_section():
    assert address(GOOD) == "../notebooks/01_spiking_neurons.html#one-neuron-one-step"


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"symbol": "mstlib.neurons.if_stop"}, "mstlib.neurons has no if_stop"),
        ({"symbol": "mstlib.nerves.if_step"}, "mstlib has no nerves"),
        ({"symbol": "mstdlib.neurons"}, "there is no module mstdlib"),
        ({"line": "u > threshold"}, "no line with 'u > threshold'"),
        ({"notebook": "14_more"}, "there is no notebook 14_more"),
        ({"section": "Two neurons"}, "no section 'Two neurons'"),
    ],
)
def test_what_is_gone_is_noticed(change, trouble):
    with pytest.raises(MapError, match=re.escape(trouble)):
        page([replace(GOOD, **change)])
