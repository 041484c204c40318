"""The mask-ratio explorer: rounding, the table without JavaScript, and errors that name things."""

import re

import pytest
from explorer_samples import MASKED
from traitlets import TraitError

from mstlib.explorers import MaskingExplorer

POINTS = [
    {"ratio": p, "accuracy": 0.9, "sd": 0.01, "scores": 0.5, "emitted": 1.0, "delivered": 1 - p}
    for p in (0.0, 0.5)
]


def curves(**changes):
    changed = [POINTS[0], POINTS[1] | changes]
    return {"net": {"attention": changed, "mlp": POINTS}}


def test_numbers_are_rounded_and_the_table_holds_them():
    explorer = MaskingExplorer(curves(accuracy=0.123456789))
    assert explorer.curves["net"]["attention"][1]["accuracy"] == 0.1235
    assert explorer.network == "net"
    fallback = explorer.fallback()
    assert fallback.count("<table>") == 2
    cells = re.findall(r"<td>([^<]*)</td>", fallback)
    assert cells[5:10] == ["0.123", "0.010", "0.500", "1.000", "0.500"]


def test_every_network_has_a_table_for_each_place():
    fallback = MaskingExplorer(MASKED).fallback()
    for name in MASKED:
        for place in ("attention", "mlp"):
            assert f"{name}, masks in the {place}" in fallback


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MaskingExplorer({}), "at least one network"),
        (lambda: MaskingExplorer(curves(), network="other"), r"among \['net'\], not 'other'"),
        (lambda: MaskingExplorer(curves(), where="conv"), "'conv'"),
        (lambda: MaskingExplorer(curves(), ratio=1.5), "ratio must be a number from 0 to 1"),
        (
            lambda: MaskingExplorer({"net": {"attention": POINTS}}),
            r"'net' must be \['attention', 'mlp'\], not \['attention'\]",
        ),
        (lambda: MaskingExplorer(curves(accuracy=98.0)), "accuracy of 'net', attention .* not 98"),
        (lambda: MaskingExplorer(curves(sd=-0.1)), "sd of 'net', attention .* not -0.1"),
        (lambda: MaskingExplorer(curves(ratio=0.0)), "must increase from 0"),
        (lambda: MaskingExplorer(curves(ratio=1.0)), "below 1"),
        (lambda: MaskingExplorer(curves(power=1.0)), "a point of 'net', attention must have"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(TraitError, match=message):
        build()
