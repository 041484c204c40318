"""The live explorer's curves: of the networks that pages offer, and measured again."""

import json
from dataclasses import replace

import pytest

from mstlib.explorers.network import CURVES
from mstlib.studies import curves


def test_curves_belong_to_the_networks_that_pages_offer():
    rows = json.loads(CURVES.read_text())
    about = [{k: v for k, v in row.items() if k not in ("accuracy", "scores")} for row in rows]
    assert about == curves.wanted(), "run `mst study curves`"
    for row in rows:
        assert len(row["accuracy"]) == (row["seeds"] if row["ratio"] else 1)
        assert (row["scores"] is not None) == (row["place"] == "attention")


@pytest.mark.slow
def test_a_stored_cell_is_measured_again():
    chosen = {"network": "mst-digits", "place": "attention", "ratio": 0.5}
    row = next(r for r in json.loads(CURVES.read_text()) if chosen.items() <= r.items())
    found = curves.measure(row | {"seeds": 1})
    one = 1 / row["images"] + 1e-4  # one picture, and the rounding
    assert found["accuracy"] == pytest.approx(row["accuracy"][:1], abs=one)
    assert found["scores"] == pytest.approx(row["scores"][:1], abs=one)
    assert len(set(row["accuracy"])) > 1  # masks of another seed do something else


def test_what_is_new_takes_its_place_and_what_is_no_longer_offered_goes(tmp_path, monkeypatch):
    table, measured = replace(curves.TABLE, path=tmp_path / "curves.json"), []
    monkeypatch.setattr(curves, "TABLE", table)
    found = {"accuracy": [1.0], "scores": None}
    monkeypatch.setattr(curves, "measure", lambda row: measured.append(row) or found)
    stored = json.loads(CURVES.read_text())
    table.write([{"network": "gone"}, *stored[:2], *stored[3:]])
    curves.run()
    assert measured == [curves.wanted()[2]]
    assert table.read() == [*stored[:2], measured[0] | found, *stored[3:]]
    table.write(stored)
    assert table.path.read_bytes() == CURVES.read_bytes()
    curves.run()
    assert table.path.read_bytes() == CURVES.read_bytes()
