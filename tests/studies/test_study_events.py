"""Stacked, summed or streamed: what is shown, what is stored, and one result computed anew."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from mstlib import data
from mstlib.checkpoints import manifest
from mstlib.data.events.frames import scaled, stack
from mstlib.studies import events
from mstlib.studies.events import Show, opposites, results, run, shown, shows

MOTION = Show("events-motion", "stacked", 8, images=6)


def test_what_is_shown():
    counts, labels = stack(data.recordings("events-motion", n=6))
    stacked, given = shown(MOTION)
    assert torch.equal(given, labels)
    assert torch.equal(stacked, data.load("events-motion", n=6)[0])
    total = scaled(counts.sum(1))
    assert torch.equal(shown(replace(MOTION, way="summed"))[0], total)
    film, _ = shown(replace(MOTION, way="streamed", steps=16, frames=16))
    assert film.shape == (6, 16, 2, 32, 32)
    torch.testing.assert_close(film.mean(1), total)
    turns, _ = shown(replace(MOTION, way="in turn", steps=16, rounds=2))
    assert turns.shape == (6, 16, 16, 32, 32)
    assert torch.equal(turns[:, :8], turns[:, 8:])
    assert all(not turns[:, k, c].any() for k in range(8) for c in range(16) if c // 2 != k)
    torch.testing.assert_close(turns.mean(1), stacked)


def test_shuffling_keeps_the_frames_and_loses_their_order():
    for way in ("stacked", "streamed"):
        show = replace(MOTION, way=way)
        before, after = shown(show)[0], shown(replace(show, shuffled=True))[0]
        before, after = before.view(6, 8, 2, -1), after.reshape(6, 8, 2, -1)
        assert torch.equal(before.sum(1).round(decimals=3), after.sum(1).round(decimals=3))
        for a, b in zip(before, after, strict=True):
            order = [int((a == frame).flatten(1).all(1).nonzero()) for frame in b]
            assert sorted(order) == list(range(8))
        assert not torch.equal(before, after)
        again = shown(replace(show, shuffled=True, seed=1))[0].reshape(6, 8, 2, -1)
        assert not torch.equal(after, again)
    turns = shown(replace(MOTION, way="in turn", shuffled=True))[0]
    torch.testing.assert_close(turns.mean(1), shown(MOTION)[0])  # the channels stay
    assert not torch.equal(turns, shown(replace(MOTION, way="in turn"))[0])


def test_opposites_worked_out_by_hand():
    logits = torch.zeros(3, 8)
    logits[0, 0] = 1  # left before right: right
    logits[1, 3] = 1  # down before up, and it was up: wrong
    logits[1, 7] = 5  # another pair does not count
    logits[2, 4] = logits[2, 5] = 2  # a tie is no right answer
    assert opposites(logits, torch.tensor([0, 2, 4])) == pytest.approx(1 / 3)


def test_every_result_is_stored_and_of_the_shipped_networks():
    known, rows = manifest(), results()
    assert len(rows) == len(set(map(str, shows()))) == len(shows())
    for show in shows():
        key = asdict(show) | {"sha256": known[show.model]["sha256"]}
        (row,) = [row for row in rows if key.items() <= row.items()]
        assert all(0 <= share <= 1 for share in row["accuracy"].values())
        assert str(show.steps) in row["accuracy"]


@pytest.mark.slow
def test_one_result_computed_anew():
    show = Show("events-motion", "in turn", 16)
    (row,) = [row for row in results() if asdict(show).items() <= row.items()]
    found = events.measure(show)
    for t, share in row["accuracy"].items():
        assert found["accuracy"][t] == pytest.approx(share, abs=2 / show.images)
    assert found["spikes"] == pytest.approx(row["spikes"], rel=0.001)


def test_stored_results_are_not_measured_again(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(events, "measure", lambda s: measured.append(s) or {"accuracy": {}})
    path = tmp_path / "events.json"
    monkeypatch.setattr(events, "TABLE", replace(events.TABLE, path=path))
    monkeypatch.setattr(events, "shows", lambda: [MOTION])
    run()
    monkeypatch.setattr(events, "shows", lambda: [MOTION, replace(MOTION, seed=1)])
    run()
    assert measured == [MOTION, replace(MOTION, seed=1)]
    assert len(results()) == 2
    rows = json.loads(path.read_text())
    rows[0]["sha256"] = "of other weights"
    path.write_text(json.dumps(rows))
    run()
    assert len(measured) == 3
    assert len(results()) == 2


def test_all_that_is_to_be_measured_is_stored_so_that_nothing_is_simulated(monkeypatch):
    before = events.TABLE.path.read_bytes()
    monkeypatch.setattr(events, "measure", None)
    run()
    assert events.TABLE.path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "scenes"}, "data must be one of .*events-motion.* not 'scenes'"),
        ({"way": "piled"}, "way must be one of .*stacked.*summed.*streamed.* not 'piled'"),
        ({"frames": 16}, "the network of stacked frames takes 8, not 16"),
    ],
)
def test_ways_that_are_not_known_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(MOTION, **changes)
