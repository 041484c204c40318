"""Short trainings with and without norms in the MLP: as stored, begun anew, and gone on with."""

from dataclasses import asdict, replace

import pytest
from tiny import tiny

from mstlib.studies import norms
from mstlib.studies.norms import FORMS, TRAININGS, Short, learn, results, run


def test_a_short_training_begins_as_a_longer_one_does_and_as_the_stored_one_did():
    short = Short("BN, also in the MLP", rate=0.002, seed=0, batches=2)
    stored = next(r for r in results() if asdict(short).items() - {("batches", 2)} <= r.items())
    _, two = learn(short)
    assert two == pytest.approx(stored["losses"][:2], abs=0.01)
    _, three = learn(Short("BN, also in the MLP", rate=0.002, seed=0, batches=3))
    assert three[:2] == two
    with pytest.raises(ValueError, match=r"form must be one of .* not 'GN'"):
        Short("GN")
    with pytest.raises(ValueError, match="batches must be a whole number >= 1, not 0"):
        Short("LN", batches=0)


def test_every_short_training_is_stored_once_with_its_settings():
    rows = results()
    settings = [{key: row[key] for key in asdict(Short("LN"))} for row in rows]
    assert sorted(map(str, settings)) == sorted(str(asdict(short)) for short in TRAININGS)
    for row in rows:
        assert row["model"] == FORMS[row["form"]]
        assert len(row["losses"]) == row["batches"]
        assert 0 <= row["accuracy"] <= 1


def test_trainings_go_on_where_they_stopped(tmp_path, monkeypatch):
    done = []

    def quick(short):
        done.append(short)
        return tiny(norm="layer"), [1.0] * short.batches

    monkeypatch.setattr(norms, "learn", quick)
    monkeypatch.setattr(norms, "accuracy", lambda *arguments: 0.5)
    monkeypatch.setattr(norms, "TABLE", replace(norms.TABLE, path=tmp_path / "some.json"))
    some = [Short(form, seed=seed, batches=3) for seed in (0, 1) for form in FORMS]
    for chosen in (some[:2], some):
        monkeypatch.setattr(norms, "TRAININGS", chosen)
        run()
    assert done == some
    assert [row["form"] for row in results()] == [short.form for short in some]


def test_all_that_is_to_be_measured_is_stored_so_that_nothing_is_trained(monkeypatch):
    before = norms.TABLE.path.read_bytes()
    monkeypatch.setattr(norms, "learn", None)
    run()
    assert norms.TABLE.path.read_bytes() == before
