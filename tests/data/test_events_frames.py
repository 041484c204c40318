"""Frames of events: where the cuts fall, and that no event is lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mstlib.data.events import EVENT, Recordings
from mstlib.data.events.frames import cuts, film, frames, scaled, stack, summed

SIZE = (4, 6)


def events(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), dtype=EVENT)


def some(m: int, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros(m, EVENT)
    made["t"] = np.sort(rng.integers(0, 10_000, m))
    made["y"], made["x"] = rng.integers(0, size[0], m), rng.integers(0, size[1], m)
    made["p"] = rng.integers(0, 2, m)
    return made


def test_frames_worked_out_by_hand():
    recording = events((10, 0, 0, 1), (20, 5, 3, 0), (30, 5, 3, 0), (100, 1, 2, 1))
    by_count = frames(recording, 2, SIZE)
    assert by_count.shape == (2, 2, 4, 6)
    assert by_count.dtype == np.float32
    assert {tuple(k): by_count[tuple(k)] for k in np.argwhere(by_count)} == {
        (0, 1, 0, 0): 1,
        (0, 0, 3, 5): 1,
        (1, 0, 3, 5): 1,
        (1, 1, 2, 1): 1,
    }
    by_time = frames(recording, 2, SIZE, by="time")  # cut at 55 µs
    assert by_time.sum((1, 2, 3)).tolist() == [3, 1]
    assert by_time[0, 0, 3, 5] == 2


def test_cuts_worked_out_by_hand():
    recording = events(*((t, 0, 0, 0) for t in (0, 1, 2, 3, 10)))
    assert cuts(recording, 2).tolist() == [0, 2, 5]
    assert cuts(recording, 2, "time").tolist() == [0, 4, 5]  # cut at 5 µs
    assert cuts(recording, 10, "time").tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 5]
    assert cuts(recording[:0], 3).tolist() == cuts(recording[:0], 3, "time").tolist() == [0] * 4


@settings(max_examples=60, deadline=None, database=None)
@given(
    m=st.integers(0, 60),
    n=st.integers(1, 20),
    by=st.sampled_from(["count", "time"]),
    side=st.sampled_from([None, 1, 3, 4, 9]),
    seed=st.integers(0, 99),
)
def test_no_event_is_lost_and_none_counted_twice(m, n, by, side, seed):
    recording = some(m, seed)
    counts = frames(recording, n, SIZE, by, side)
    assert counts.sum() == m
    assert (counts.sum((0, 2, 3)) == [(recording["p"] == p).sum() for p in (0, 1)]).all()
    rows = cuts(recording, n, by)
    assert rows[0] == 0
    assert rows[-1] == m
    assert (counts.sum((1, 2, 3)) == np.diff(rows)).all()
    if by == "count":
        assert np.ptp(np.diff(rows)) <= 1
    elif m:
        t = recording["t"].astype(float) - recording["t"][0]
        part = np.minimum(t * n // max(t[-1], 1), n - 1)
        if t[-1] > 0:
            assert (np.diff(rows) == np.bincount(part.astype(int), minlength=n)).all()


def test_a_smaller_frame_sums_the_pixels_of_a_cell():
    recording = some(500, size=(34, 34))
    whole, half = (frames(recording, 3, (34, 34), side=side) for side in (None, 17))
    assert (whole.reshape(3, 2, 17, 2, 17, 2).sum((3, 5)) == half).all()
    assert (frames(recording, 3, (34, 34), side=34) == whole).all()


def test_stack_takes_every_recording_of_a_set():
    kept = [some(30, seed) for seed in range(5)]
    recordings = Recordings(kept.__getitem__, [0, 1, 0, 1, 1], ["a", "b"], SIZE)
    counts, labels = stack(recordings, 3, side=None)
    assert counts.shape == (5, 3, 2, *SIZE)
    assert counts.dtype == torch.float32
    assert labels.tolist() == [0, 1, 0, 1, 1]
    assert (counts[4].numpy() == frames(kept[4], 3, SIZE)).all()
    assert stack(recordings[1:3], 3, "time")[0].shape == (2, 3, 2, 32, 32)


def test_scaled_counts_have_mean_square_one_and_nothing_stays_nothing():
    counts = torch.zeros(2, 3, 2, 4, 4)
    counts[0, 1, 0, 2, 2] = 7
    new = scaled(counts)
    assert float(new[0].square().mean()) == pytest.approx(1)
    assert int(torch.count_nonzero(new)) == 1
    assert float(counts.sum()) == 7


def test_the_mean_of_a_film_is_the_sum_of_its_frames_as_the_network_knows_it():
    counts = torch.poisson(torch.full((3, 4, 2, 5, 6), 0.5))
    counts[2] = 0
    torch.testing.assert_close(film(counts).mean(1), summed(counts))
    torch.testing.assert_close(summed(counts)[:2].square().mean((1, 2, 3)), torch.ones(2))
    assert not summed(counts)[2].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n must be a whole number, at least 1; got 0"),
        ({"n": 2.0}, "n must be a whole number, at least 1; got 2.0"),
        ({"n": True}, "n must be a whole number"),
        ({"by": "events"}, "by must be one of count, time; got 'events'"),
        ({"side": 0}, "side must be a whole number, at least 1; got 0"),
        ({"size": (0, 6)}, "the height must be a whole number, at least 1; got 0"),
        ({"size": (4, 5)}, "x must be 0 to 4"),
        ({"size": (3, 6)}, "y must be 0 to 2"),
    ],
)
def test_frames_that_cannot_be_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        frames(some(50), **({"n": 2, "size": SIZE} | changes))


def test_times_too_large_to_be_cut_are_named():
    recording = events((0, 0, 0, 0), (2**62, 0, 0, 0))
    assert cuts(recording, 1, "time").tolist() == [0, 2]
    with pytest.raises(ValueError, match="4611686018427387904 microseconds is too long to be cut"):
        cuts(recording, 2, "time")


def test_what_are_no_events_is_named():
    with pytest.raises(TypeError, match=r"events must be an array \(n,\) of EVENT"):
        frames(np.zeros(3), 2, SIZE)
    backwards = some(20)[::-1]
    with pytest.raises(ValueError, match="its time is before"):
        frames(backwards, 2, SIZE)
