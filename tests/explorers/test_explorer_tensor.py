"""A table of numbers as text: what comes back, and what is refused."""

import pytest
from explorer_samples import WALK
from traitlets import TraitError

from mstlib.explorers import ArchitectureExplorer
from mstlib.explorers.tensor import ALPHABET, compact

ABOUT = {"rows": "token", "columns": "channel", "unit": "spikes in 4 steps"}


def numbers(stored: dict) -> list[float]:
    """What the page reads."""
    zero, span = (30, 30) if stored["low"] < 0 else (0, 60)
    return [(ALPHABET.index(c) - zero) / span * stored["high"] for c in stored["cells"]]


def test_counts_come_back_as_they_were():
    values = [list(range(8 * k, 8 * k + 8)) for k in range(4)]  # 0 to 31 spikes
    stored = compact("it", {"values": values} | ABOUT)
    assert stored["size"] == [4, 8]
    assert [round(v) for v in numbers(stored)] == list(range(32))
    assert (stored["low"], stored["high"]) == (0, 31)
    assert compact("it", stored) == stored


def test_numbers_come_back_within_half_a_shade_with_their_signs():
    values = [[-1.5, 0.0, 0.77], [1.26, -0.07, 3.0]]
    stored = compact("it", {"values": values} | ABOUT)
    assert stored["low"] == -stored["high"] == -3
    for got, value in zip(numbers(stored), values[0] + values[1], strict=True):
        assert got == pytest.approx(value, abs=3 / 60)


def test_zeros_are_zeros():
    stored = compact("it", {"values": [[0.0, 0.0]]} | ABOUT)
    assert (stored["cells"], stored["low"], stored["high"]) == ("AA", 0, 0)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ([1.0], "it must be a mapping"),
        ({"values": [[1.0]]}, r"it must have \['columns', 'rows', 'unit', 'values'\]"),
        ({"values": []} | ABOUT, "rows of equal length"),
        ({"values": [[1.0], [1.0, 2.0]]} | ABOUT, "rows of equal length"),
        ({"values": [[float("nan")]]} | ABOUT, "finite numbers"),
        ({"values": [[1.0, 2.0, 3.0]], "groups": 2} | ABOUT, "3 columns are not 2 groups"),
    ],
)
def test_refuses(tensor, message):
    with pytest.raises(TraitError, match=message):
        compact("it", tensor)


def test_an_architecture_stores_tensors_as_text_and_knows_its_masks():
    explorer = ArchitectureExplorer(WALK)
    layer = next(e for e in explorer.walk if e.get("mask") == "attention")
    assert len(layer["tensor"]["cells"]) == 16 * 48
    assert "values" not in layer["tensor"]
    assert ArchitectureExplorer(explorer.walk).walk == explorer.walk
    with pytest.raises(TraitError, match=r"mask of layer 0 .*'everywhere'"):
        ArchitectureExplorer([WALK[0] | {"mask": "everywhere"}])
    with pytest.raises(TraitError, match="tensor of layer 0 of the walk must have"):
        ArchitectureExplorer([WALK[0] | {"tensor": {}}])
