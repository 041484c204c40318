"""The simulated event camera: crossings worked out by hand, and what a real sensor adds."""

import numpy as np
import pytest

from mstlib.data.events import EVENT, check
from mstlib.data.events.camera import Camera, film, film_all


def pixel(*levels: float) -> np.ndarray:
    """A film of one pixel."""
    return np.array(levels, dtype=float)[:, None, None]


def seen(events: np.ndarray) -> list[tuple[int, int]]:
    return [(int(t), int(p)) for t, p in zip(events["t"], events["p"], strict=True)]


def wobble(size: tuple[int, int] = (6, 5), frames: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.4, (frames, *size)).cumsum(0)


def test_crossings_worked_out_by_hand():
    # C = 0.25. Up by 1 in 1000 µs: at 250, 500, 750 and 1000 µs. Down by 0.6 from there: the
    # reference is 1, so 0.75 and 0.5 are crossed, after 0.25/0.6 and 0.5/0.6 of the second ms.
    events = film(pixel(0, 1, 0.4), 1000, Camera(threshold=0.25))
    assert seen(events) == [(250, 1), (500, 1), (750, 1), (1000, 1), (1416, 0), (1833, 0)]
    assert events.dtype == EVENT


def test_the_reference_waits_for_a_whole_threshold():
    # To 0.2: nothing. To 0.3: 0.25 is crossed half-way. Back to 0.05: nothing (0 is not reached).
    # To -0.05: 0 is crossed half-way.
    events = film(pixel(0, 0.2, 0.3, 0.05, -0.05), 1000, Camera(threshold=0.25))
    assert seen(events) == [(1500, 1), (3500, 0)]


def test_the_first_frame_is_the_reference_whatever_its_brightness():
    dark, bright = (film(pixel(a, a + 0.5), 100, Camera(threshold=0.25)) for a in (-3.0, 5.0))
    assert seen(dark) == seen(bright) == [(50, 1), (100, 1)]


def test_a_still_scene_makes_no_events():
    assert len(film(np.full((5, 3, 4), 0.7), 1000)) == 0


def test_a_crossing_in_the_refractory_time_is_lost_but_moves_the_reference():
    # Crossings at 250, 500, 750, 1000. Deaf for 300 µs: 500 is lost, 750 is sent, 1000 is lost.
    # The reference went on to 1 all the same: the way back to 0.75 is crossed at 1250.
    camera = Camera(threshold=0.25, refractory=300)
    assert seen(film(pixel(0, 1, 0), 1000, camera)) == [(250, 1), (750, 1), (1250, 0), (1750, 0)]
    exactly = Camera(threshold=0.25, refractory=250)  # as long as the pause: nothing is lost
    assert len(film(pixel(0, 1, 0), 1000, exactly)) == 8


def test_refractory_time_holds_in_every_pixel():
    camera = Camera(threshold=0.1, refractory=700, noise=300)
    events = film(wobble(), 1000, camera, seed=3)
    check(events, (6, 5))
    for x, y in np.unique(events[["x", "y"]]).tolist():
        times = events["t"][(events["x"] == x) & (events["y"] == y)]
        assert len(times) > 5
        assert np.diff(times).min() >= 699  # times are rounded down


def test_pixels_do_not_see_each_other():
    frames = wobble()
    events = film(frames, 1000, Camera(threshold=0.1))
    for y, x in [(0, 0), (5, 4), (2, 3)]:
        alone = film(frames[:, y : y + 1, x : x + 1], 1000, Camera(threshold=0.1))
        here = events[(events["x"] == x) & (events["y"] == y)]
        assert seen(here) == seen(alone)


def test_the_film_backwards_gives_the_events_backwards():
    """From the ground and back to it, a pixel crosses the same thresholds both ways.

    Not at the same times: every crossing is seen a threshold late.
    """
    frames = wobble() * np.minimum(np.arange(30), np.arange(30)[::-1]).clip(max=3)[:, None, None]
    camera = Camera(threshold=0.2, mismatch=0.05)
    forth, back = film(frames, 1000, camera), film(frames[::-1], 1000, camera)
    assert len(forth) == len(back) > 500
    for y, x in np.ndindex(6, 5):
        a, b = (e[(e["x"] == x) & (e["y"] == y)] for e in (forth, back))
        assert a["p"].tolist() == (1 - b["p"][::-1]).tolist()


def test_thresholds_differ_between_pixels_and_are_the_sensors_own():
    camera = Camera(threshold=0.5, mismatch=0.05)
    spread = camera.thresholds((100, 100))
    assert spread.mean() == pytest.approx(0.5, abs=0.002)
    assert spread.std() == pytest.approx(0.05, rel=0.03)
    assert (camera.thresholds((100, 100)) == spread).all()
    assert not (Camera(0.5, 0.05, sensor=1).thresholds((100, 100)) == spread).any()
    ramp = np.linspace(0, 10, 11)[:, None, None] * np.ones((100, 100))
    events = film(ramp, 1000, camera)
    counts = np.zeros((100, 100), dtype=int)
    np.add.at(counts, (events["y"], events["x"]), 1)
    assert (counts == np.floor(10 / spread)).all()
    assert camera.thresholds((4, 4)).min() >= 0.05
    wild = Camera(threshold=0.1, mismatch=0.09).thresholds((100, 100))
    assert wild.min() == pytest.approx(0.01)


def test_noise_has_its_rate_and_no_preference():
    still = np.zeros((2, 40, 50))
    events = film(still, 2_000_000, Camera(noise=5.0), seed=1)
    expected = 5.0 * 2 * 40 * 50
    assert abs(len(events) - expected) < 4 * expected**0.5
    assert abs(events["p"].mean() - 0.5) < 4 * 0.5 / expected**0.5
    per_pixel = np.bincount(events["y"].astype(int) * 50 + events["x"], minlength=2000)
    assert per_pixel.var() == pytest.approx(10, rel=0.15)  # Poisson: variance = mean
    assert abs(events["t"].mean() - 1e6) < 4 * 2e6 / 12**0.5 / expected**0.5
    assert (film(still, 2_000_000, Camera(noise=5.0), seed=1) == events).all()
    assert len(film(still, 2_000_000, Camera(noise=5.0), seed=2)) != len(events)


def test_films_together_are_the_films_one_by_one():
    frames = np.stack([wobble(seed=s) for s in range(3)])
    camera = Camera(threshold=0.2, mismatch=0.02, refractory=500, noise=20)
    together = film_all(frames, 1000, camera, (7, 8, 9))
    for scene, events in enumerate(together):
        check(events, (6, 5))
        assert (events == film(frames[scene], 1000, camera, 7 + scene)).all()


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"threshold": 0}, "threshold must be above 0; got 0"),
        ({"threshold": float("nan")}, "threshold must be a finite number, 0 or more; got nan"),
        ({"threshold": "0.2"}, "threshold must be a finite number"),
        ({"mismatch": 0.25}, "mismatch must be below the threshold 0.25; got 0.25"),
        ({"mismatch": -0.1}, "mismatch must be a finite number, 0 or more"),
        ({"refractory": -1}, "refractory must be a finite number, 0 or more; got -1"),
        ({"noise": float("inf")}, "noise must be a finite number, 0 or more; got inf"),
        ({"noise": True}, "noise must be a finite number"),
        ({"sensor": -1}, "seed must be a whole number, 0 or more; got -1"),
    ],
)
def test_constants_that_cannot_be_are_named(constants, message):
    with pytest.raises(ValueError, match=message):
        Camera(**constants)


@pytest.mark.parametrize(
    ("frames", "interval", "message"),
    [
        (np.zeros((3, 4)), 1000, r"frames must be \(F, height, width\) with F >= 2, not \(3, 4\)"),
        (np.zeros((1, 3, 4)), 1000, r"with F >= 2, not \(1, 1, 3, 4\)"),
        (np.zeros((2, 0, 4)), 1000, "with F >= 2"),
        (np.full((2, 3, 4), np.nan), 1000, "frames must hold finite log intensities"),
        (np.full((2, 3, 4), "a"), 1000, "frames must hold finite log intensities"),
        (np.zeros((2, 3, 4)), 0, "interval must be a time in microseconds above 0; got 0"),
        (np.zeros((2, 3, 4)), float("nan"), "interval must be a time"),
    ],
)
def test_films_that_cannot_be_are_named(frames, interval, message):
    with pytest.raises(ValueError, match=message):
        film(frames, interval)


def test_seeds_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="2 seeds for 1 scenes"):
        film_all(np.zeros((1, 2, 3, 4)), 1000, seeds=(0, 1))
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more; got -1"):
        film(np.zeros((2, 3, 4)), 1000, Camera(noise=1), seed=-1)
