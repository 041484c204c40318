"""What Python and the scripts both have to know is the same on both sides."""

import re

from mstlib.energy import Costs
from mstlib.explorers.base import STATIC
from mstlib.explorers.network import REQUEST


def found(script: str, pattern: str) -> tuple[str, ...]:
    """What the groups of a pattern hold, which a script has once."""
    (match,) = re.finditer(pattern, (STATIC / script).read_text(encoding="utf-8"))
    return match.groups()


def test_an_answer_depends_on_the_same_settings_in_the_same_order():
    for script, name in (("network.js", "REQUEST"), ("mst_runner.js", "SETTINGS")):
        (listed,) = found(script, rf"const {name} = \[(.*?)\];")
        assert tuple(re.findall(r'"(\w+)"', listed)) == REQUEST


def test_a_multiplication_and_an_addition_have_the_same_prices():
    costs = Costs()
    for script, pattern in (
        ("mst_runs.js", r"MULTIPLY = ([\d.]+), ADD = ([\d.]+);"),
        ("energy.js", r"mac: ([\d.]+), ac: ([\d.]+),"),
        ("network.js", r"([\d.]+) pJ a multiplication, ([\d.]+) pJ an addition"),
    ):
        assert tuple(map(float, found(script, pattern))) == (costs.mac, costs.ac)
