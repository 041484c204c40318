"""After ``import mstlib`` each of its modules is at hand; none costs anything before it is used."""

import pkgutil
import subprocess
import sys

import pytest

import mstlib

MODULES = [m.name for m in pkgutil.walk_packages(mstlib.__path__, "mstlib.")]
ENTER = """
import sys
import mstlib
for heavy in ("timm", "torchvision", "matplotlib", "sklearn", "anywidget", "accelerate"):
    assert heavy not in sys.modules, heavy
assert "mstlib.train" not in sys.modules
for path in sys.argv[1:]:
    here = mstlib
    for name in path.split(".")[1:]:
        if hasattr(here, "__path__"):
            assert "__getattr__" in vars(here), here
        try:
            here = getattr(here, name)
        except ModuleNotFoundError as missing:  # of another package
            assert not missing.name.startswith("mstlib"), missing
"""


@pytest.mark.slow
def test_every_module_is_reached_from_the_root():
    assert len(MODULES) > 100
    assert "mstlib.analysis.ledger" in MODULES
    enter = subprocess.run([sys.executable, "-c", ENTER, *MODULES], capture_output=True, text=True)
    assert enter.returncode == 0, enter.stderr


def test_what_is_not_there_is_named_with_its_room():
    for room in (mstlib, mstlib.analysis, mstlib.data.events):
        with pytest.raises(AttributeError, match=rf"'{room.__name__}' has no attribute 'attic'"):
            room.attic  # noqa: B018


def test_where_a_function_has_the_name_of_its_module_it_is_the_function():
    assert callable(mstlib.simulate)
    assert callable(mstlib.convert)
    assert callable(mstlib.train.fit)
