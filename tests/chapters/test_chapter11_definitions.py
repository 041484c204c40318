"""The plain definitions of chapter 11 give the same numbers as the library."""

import numpy as np
import pytest
from reading import definition

from mstlib.data.events import EVENT
from mstlib.data.events.camera import Camera, film
from mstlib.data.events.frames import frames

CHAPTER = "11_events.ipynb"


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.7])
def test_a_pixel_sends_what_the_library_s_camera_does(threshold):
    plain = definition(CHAPTER, "pixel_events")
    levels = np.random.default_rng(0).normal(size=60).cumsum() / 2
    mine = plain(levels, 1000, threshold)
    theirs = film(levels[:, None, None], 1000, Camera(threshold=threshold))
    assert len(mine) >= 10
    assert [sign > 0 for _, sign in mine] == (theirs["p"] == 1).tolist()
    # the library rounds down to whole microseconds
    assert np.allclose([t for t, _ in mine], theirs["t"] + 0.5, atol=0.51)


@pytest.mark.parametrize("by", ["count", "time"])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_frames_are_the_library_s(n, by):
    plain = definition(CHAPTER, "count_frames", np=np)
    draw = np.random.default_rng(1)
    events = np.zeros(200, EVENT)
    events["t"] = np.sort(draw.integers(50, 4000, 200))
    events["x"], events["y"], events["p"] = draw.integers(0, [[9], [7], [2]], (3, 200))
    assert np.array_equal(plain(events, n, (7, 9), by), frames(events, n, (7, 9), by))
