"""The rows of Table 3: of the shipped networks, measured once, and kept where weights are not."""

import json
from dataclasses import replace

import pytest

import mstlib
from mstlib.analysis.operations import Totals, trace
from mstlib.masking import Masking
from mstlib.studies import records, table3
from mstlib.studies.records import FOLDER


def test_rows_of_table_3_are_those_of_the_shipped_networks():
    stored = json.loads((FOLDER / "table3.json").read_text())
    known = mstlib.checkpoints.manifest()
    assert {row["network"] for row in stored["rows"]} >= {"mst-digits", "mst-scenes"}
    for row in stored["rows"]:
        if row["weights"] in known:
            assert row["sha256"] == known[row["weights"]]["sha256"]
        assert 0 <= row["accuracy"] <= 1


def test_a_row_of_table_3_comes_out_again():
    stored = json.loads((FOLDER / "table3.json").read_text())
    (row,) = (
        r
        for r in stored["rows"]
        if (r["weights"], r["lesion"]) == ("mst-digits-attention-75", None)
    )
    x, _ = mstlib.data.load("digits", split="test", n=8)
    masking = Masking(attention=0.75)
    again = trace(mstlib.convert(mstlib.load(row["weights"])), x, stored["steps"], masking).totals()
    was = Totals(**row["totals"])
    assert (again.neurons, again.dense, again.macs) == (was.neurons, was.dense, was.macs)
    for what in ("emitted", "delivered", "synaptic"):  # eight images of 150
        assert getattr(again, what) == pytest.approx(getattr(was, what), rel=0.1)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the table where no student was trained, and the rows that get measured."""
    for module in (records, table3):
        monkeypatch.setattr(module, "KEPT", tmp_path / ".training")
    table, measured = replace(table3.TABLE, path=tmp_path / "table3.json"), []
    table.path.write_bytes(table3.TABLE.path.read_bytes())
    monkeypatch.setattr(table3, "TABLE", table)
    monkeypatch.setattr(
        table3, "measure", lambda row: measured.append(row) or {"accuracy": 1.0, "totals": {}}
    )
    return table, measured


def test_what_is_stored_is_not_measured_and_stays_where_its_weights_are_not(elsewhere):
    table, measured = elsewhere
    before = table.path.read_bytes()
    table3.run()
    assert measured == []
    assert table.path.read_bytes() == before
    assert any(row["weights"] == "vgg-digits-conv-75" for row in table.read())


def test_a_row_of_other_weights_is_measured_in_its_place(elsewhere):
    table, measured = elsewhere
    before = table.read()
    table.write([row | {"sha256": "old"} if i == 4 else row for i, row in enumerate(before)])
    table3.run()
    assert [row["weights"] for row in measured] == ["mst-digits-control"]
    after = table.read()
    assert after[4] == before[4] | {"accuracy": 1.0, "totals": {}}
    assert after[:4] + after[5:] == before[:4] + before[5:]


def test_a_student_at_hand_is_named_by_the_hash_of_its_file(elsewhere):
    about = next(row for row in table3.wanted() if row["weights"] == "vgg-digits-conv-75")
    assert table3.fingerprint(about) is None
    table3.KEPT.mkdir()
    (table3.KEPT / "vgg-digits-conv-75-3.safetensors").write_bytes(b"")
    assert table3.fingerprint(about).startswith("e3b0c442")  # SHA-256 of nothing
