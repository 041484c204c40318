"""The events explorer: what it stores, what it refuses, and what it shows in a browser."""

import re

import numpy as np
import pytest
from desk import drive, say, static
from explorer_samples import RECORDINGS, edge
from playwright.sync_api import expect
from traitlets import TraitError

from mstlib.data.events import EVENT
from mstlib.data.events.frames import cuts, frames
from mstlib.explorers import EventsExplorer

CLOUD, CAMERA, FILM = range(3)


def explorer(**changes):
    return EventsExplorer(**({"recordings": RECORDINGS} | changes))


def test_events_are_stored_whole_and_begin_at_0():
    events = edge()
    stored = explorer(recording="right").events
    assert stored["t"][0] == 0
    stored["t"] += events["t"][0]
    assert (stored == events).all()


def test_a_recording_already_stored_is_taken_as_it_is():
    first = explorer()
    assert EventsExplorer(first.recordings).recordings == first.recordings


def test_fallback_tells_the_frames():
    text = explorer(frames=4).fallback()
    rows = [[int(v) for v in re.findall(r"<td>(\d+)</td>", row)] for row in text.split("<tr>")[2:]]
    assert rows == [[50, 50]] * 4  # brighter, darker
    counts = frames(edge(), 3, (16, 20), "time").sum((2, 3)).astype(int)
    rows = re.findall(
        r"<td>(\d+)</td><td>(\d+)</td></tr>", explorer(frames=3, by="time").fallback()
    )
    assert [[int(v) for v in row] for row in rows] == counts[:, ::-1].tolist()


def changed(**columns):
    events = edge()
    for name, value in columns.items():
        events[name] = value
    return {"right": (events, (16, 20), "A bar")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recordings": {}}, "at least one recording"),
        (
            {"recordings": {"right": edge()}},
            r"'right' must be \(events, \(height, width\), label\)",
        ),
        ({"recordings": {"a": (np.zeros(4), (16, 20), "")}}, "'a' must be .* array .* of EVENT"),
        ({"recordings": {"right": (edge(), (16, 10), "")}}, "'right' .* x must be 0 to 9"),
        ({"recordings": changed(p=2)}, "'right' .* p must be 0"),
        ({"recordings": changed(t=5)}, "'right' lasts 0 µs"),
        ({"recordings": {"none": (edge()[:0], (16, 20), "")}}, "'none' has 0 events"),
        ({"recordings": {"all": (edge(number=20_001), (16, 20), "")}}, "20001 events.* 2 to 20000"),
        ({"recording": "up"}, r"recording must be among \['right', 'left'\], not 'up'"),
        ({"time": -1}, "time must be a number"),
        ({"window": 0}, "window must be a whole number from 1 to 200, not 0"),
        ({"slower": 7}, "slower"),
        ({"frames": 17}, "frames must be a whole number from 1 to 16, not 17"),
        ({"by": "luck"}, "'by'.*'luck'"),
        ({"order": "backwards"}, "'order'.*'backwards'"),
        ({"turn": 91}, "turn must be a number from -90 to 90, not 91"),
        ({"tilt": -1}, "tilt must be a number from 0 to 90, not -1"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(TraitError, match=message):
        explorer(**changes)


def test_the_page_cuts_and_counts_as_the_library_does(desk):
    draw = np.random.default_rng(0)
    events = np.zeros(997, EVENT)
    events["t"] = np.sort(draw.integers(3, 40_000, len(events)))
    events["x"], events["y"] = draw.integers(0, 30, 997), draw.integers(0, 20, 997)
    events["p"] = draw.integers(0, 2, 997)
    shown = EventsExplorer({"noise": (events, (20, 30), "Noise")})
    script = """([stored, n, by]) => {
        const { decode, slices, counted } = mstExplorers.views.events, events = decode(stored);
        return slices(events, n, by).map(cut => counted(events, cut, 30, 20).map(c => [...c]));
    }"""
    with desk.open(static(shown)) as page:
        for by in ("count", "time"):
            for n in (1, 3, 7, 16):
                found = page.evaluate(script, [shown.recordings["noise"], n, by])
                wanted = frames(events, n, (20, 30), by)
                assert np.array_equal(np.array(found).reshape(wanted.shape), wanted)


def labels(page):
    return page.locator("canvas").evaluate_all("es => es.map(e => e.ariaLabel)")


def test_the_pictures_say_what_they_show(desk):
    with desk.open(static(explorer(time=30, window=10, frames=2))) as page:
        now = edge()
        t = (now["t"] - now["t"][0]) / 1000
        seen = now[(t >= 20) & (t < 30)]
        bright, dark = int(seen["p"].sum()), int((seen["p"] == 0).sum())
        pixels = len(np.unique(seen[["x", "y"]]))
        wanted = f"{bright} brighter and {dark} darker events on {pixels} of its 20 × 16 pixels"
        assert wanted in labels(page)[CAMERA]
        assert "20 to 30 ms" in labels(page)[CAMERA]
        assert f"Bright are the {len(seen)} of the window" in labels(page)[CLOUD]
        middle = round(t[cuts(now, 2)[1]])
        assert f"frame 1, 0–{middle} ms, 100 brighter and 100 darker" in labels(page)[FILM]
        assert "moment shown is in frame 1" in labels(page)[FILM]
        drive(page, time=58)
        assert "moment shown is in frame 2" in labels(page)[FILM]
        drive(page, order="shuffled")
        assert "put together as 2, 1" in labels(page)[CLOUD]
        assert "Shuffled: 2, 1" in say(page)
        drive(page, recording="left")
        assert say(page).startswith("A bar that moves left")


def test_both_hues_are_drawn_and_the_window_moves_the_picture(desk):
    colours = """e => {
        const { data } = e.getContext("2d").getImageData(0, 0, e.width, e.height);
        const found = new Set();
        for (let k = 0; k < data.length; k += 4) found.add([...data.slice(k, k + 3)].join());
        return [...found];
    }"""
    rising = edge()
    rising["p"] = 1
    recordings = RECORDINGS | {"rise": (rising, (16, 20), "All grows brighter")}
    with desk.open(static(explorer(recordings=recordings, time=30))) as page:
        for place in (CLOUD, CAMERA, FILM):
            found = page.locator("canvas").nth(place).evaluate(colours)
            assert {"86,180,233", "238,138,74"} <= set(found)  # brighter, darker
        drive(page, recording="rise")
        for place in (CLOUD, CAMERA):
            found = page.locator("canvas").nth(place).evaluate(colours)
            assert "86,180,233" in found
            assert "238,138,74" not in found
        before = page.locator("canvas").nth(CAMERA).evaluate("e => e.toDataURL()")
        drive(page, time=50)
        assert page.locator("canvas").nth(CAMERA).evaluate("e => e.toDataURL()") != before


def test_the_cloud_is_turned_by_a_pointer(desk):
    with desk.open(static(explorer(turn=0, tilt=20))) as page:
        page.locator("canvas").first.scroll_into_view_if_needed()
        box = page.locator("canvas").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        assert "turned by 0°" in labels(page)[CLOUD]
        page.mouse.down()
        page.mouse.move(x + 60, y + 20, steps=3)
        page.mouse.up()
        page.mouse.move(x + 100, y)  # let go: nothing moves any more
        assert "turned by 30° and seen from 30° above" in labels(page)[CLOUD]
        expect(page.get_by_label("Turn", exact=True)).to_have_value("30")


def test_it_plays_at_the_speed_chosen_and_asks_nothing_of_a_reader_who_wants_rest(desk):
    with desk.open(static(explorer(time=0, slower=10)), motion="no-preference") as page:
        assert "played in 0.6 s" in say(page)
        page.get_by_label("1/100").check()
        assert "played in 6.0 s" in say(page)
        page.get_by_role("button", name="Play").click()
        expect(page.locator(".mst-say")).to_have_attribute("aria-live", "off")
        page.get_by_label("as it was").check()
        # two steps of 50 ms; one of 1 ms each would take three seconds
        expect(page.get_by_label("Moment", exact=True)).to_have_value("60", timeout=2000)
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        expect(page.locator(".mst-say")).to_have_attribute("aria-live", "polite")
    with desk.open(static(explorer())) as page:
        assert page.get_by_label("1/100").count() == 0
        assert "played" not in say(page)
