"""The paper's network at full size: what is stored of it, and a command that fails."""

import json

import pytest

from mstlib.scale.cost import Memory
from mstlib.studies import full_size
from mstlib.studies.records import FOLDER


@pytest.mark.slow
def test_what_a_command_took_is_measured(tmp_path):
    found = full_size.measure("mst list", str(tmp_path))
    assert found["command"] == "mst list"
    assert "mst-digits" in found["printed"]
    assert 0.05 < found["gigabytes"] < 8


@pytest.mark.slow
def test_a_command_that_fails_is_named(tmp_path):
    with pytest.raises(ChildProcessError, match="failed: mst study no-such"):
        full_size.measure("mst study no-such", str(tmp_path))


def test_the_report_has_what_chapter_12_shows(tmp_path, monkeypatch):
    printed = json.dumps({"images": 1})
    monkeypatch.setattr(full_size, "measure", lambda command, place: {"printed": printed})
    monkeypatch.setattr(full_size, "FOLDER", tmp_path)
    monkeypatch.setattr(full_size, "swin_tiny", lambda classes: None)
    monkeypatch.setattr(full_size, "training_memory", lambda model: Memory(1, 2, 3))
    stored = json.loads((FOLDER / "full_size.json").read_text())
    full_size.run()
    report = json.loads((tmp_path / "full_size.json").read_text())
    assert list(report) == list(stored)
    assert len(report["throughput"]) == len(full_size.BATCHES) == len(stored["throughput"])
    assert len(report["commands"]) == len(stored["commands"])
    assert report["memory"].keys() == stored["memory"].keys()
