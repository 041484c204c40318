"""The saliency explorer: what it stores, what it refuses, and what it says in a browser."""

import pytest
from desk import drive, say, static
from explorer_samples import SALIENCY, SCENES
from traitlets import TraitError

from mstlib.explorers import SaliencyExplorer
from mstlib.explorers.saliency import share


def explorer(**changes):
    return SaliencyExplorer(**(SALIENCY | changes))


def test_maps_are_stored_relative_to_their_highest_place():
    stored = explorer().maps["75 %"]["block 3"][0]
    assert stored[0] == stored[2]  # one map is a multiple of the other
    assert (stored[0][0], stored[0][15]) == (0, 99)


def test_share_counts_the_places_of_a_cell():
    truth = "T..C"
    assert share([4, 1, 1, 2], truth, "T") == 0.5
    fine = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0]  # 4×4 places in 2×2 cells
    assert share(fine, truth, "T") == 0.5
    assert share(fine, truth, "C") == 0.5
    assert share([0] * 4, truth, "T") == 0


def test_fallback_has_a_row_for_each_network():
    text = explorer(layer="block 3").fallback()
    assert text.count("<tr>") == 1 + 2 + 1
    assert "100 %, 0 %" in text  # Score-CAM of the first scene is all on its target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenes": []}, "got 0 images"),
        ({"times": [8, 2, 32]}, r"times that increase .*\[8, 2, 32\]"),
        ({"scenes": [{"pixels": "abc"}] * 2}, "image 1 must have pixels, truth and label"),
        ({"scenes": [SCENES[0] | {"pixels": "xyz"}] * 2}, "three hexadecimal digits"),
        ({"scenes": [SCENES[0] | {"truth": "TXC."}] * 2}, "truth of image 1: a square of TCD."),
        ({"right": {"0 %": [[True] * 3] * 2}}, "'75 %' must have .* answers"),
        ({"times": [2, 8]}, "0 %, block 2: 3 entries where 2 are needed"),
        ({"cam": {"block 2": [[1] * 64] * 2}}, r"layers \['block 2'\]"),
        ({"cam": SALIENCY["cam"] | {"block 3": [[1] * 15] * 2}}, "square, not 15 places"),
        ({"cam": SALIENCY["cam"] | {"block 3": [[-1] * 16] * 2}}, "not negative"),
        ({"network": "50 %"}, r"network must be among \['0 %', '75 %'\], not '50 %'"),
        ({"layer": "block 9"}, "layer must be among .* not 'block 9'"),
        ({"image": 3}, r"image must be among \[1, 2\], not 3"),
        ({"time": 3}, r"time must be among \[0, 1, 2\], not 3"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(TraitError, match=message):
        explorer(**changes)


def test_it_says_where_the_maps_point(desk):
    with desk.open(static(explorer(layer="block 3"))) as page:
        # Places 0 … 15 rise: of their total 120 the target (place 0) has 0, the cue (8) 8/120.
        assert say(page) == (
            "0 %, step 2, block 3: 0 % on the target and 7 % on the cue, the highest place on "
            "empty ground. The answer so far is wrong. Score-CAM: 100 % on the target and 0 % on "
            "the cue, the highest place on the target."
        )
        page.get_by_label("Time step").press("ArrowRight")
        assert "step 8" in say(page)
        assert "so far is right" in say(page)
        page.get_by_role("radio", name="75 %").check()
        assert say(page).startswith("75 %, step 8")
        assert "so far is wrong" in say(page)
        page.get_by_label("Scene", exact=True).press("End")
        assert "the highest place on the cue" in say(page)  # place 15 of the second scene
        page.get_by_role("radio", name="block 2").check()
        panels = page.locator(".mst-panel svg[role=img]")
        assert panels.count() == 5
        assert panels.nth(1).locator("text").count() == 64
        assert panels.nth(1).locator(".mst-outline").count() == 2
        assert panels.nth(1).locator(".mst-outline.mst-dashed").count() == 1


def test_every_map_stands_beside_the_others_by_time_and_masking(desk):
    with desk.open(static(explorer(layer="block 3", network="75 %", time=1))) as page:
        every = page.locator(".mst-panel svg[role=img]").nth(4)
        frames = every.locator(".mst-outline").evaluate_all("es => es.map(e => [...e.classList])")
        assert len(frames) == 2 * 3  # maskings, times
        wrong = [k for k, classes in enumerate(frames) if "mst-dashed" in classes]
        assert wrong == [0, 3, 4]  # as `right` says: the first step, and two of the masked network
        assert [k for k, classes in enumerate(frames) if "mst-strong" in classes] == [4]
        assert every.locator("text").all_text_contents() == [
            "0 %", "75 %", "2", "8", "32", "masking", "step",
        ]  # fmt: skip
        said = every.get_attribute("aria-label")
        assert "0 %: 0 % at step 2, 0 % at step 8, 0 % at step 32. 75 %: 0 % at step 2" in said
        page.get_by_label("Scene", exact=True).press("End")  # the target: 4 of 120
        assert "0 %: 3 % at step 2" in every.get_attribute("aria-label")
        # all six rise from 0 to 99 in their 16 places
        cells = every.locator(".mst-cell").evaluate_all(
            "es => es.map(e => e.getAttribute('d').split('M').length - 1)"
        )
        assert sum(cells) == 6 * 15
        inside = every.evaluate(
            """svg => {
                const frames = [...svg.querySelectorAll(".mst-outline")].map(e => e.getBBox());
                const corners = [...svg.querySelectorAll(".mst-cell")]
                    .flatMap(e => e.getAttribute("d").split("M").slice(1))
                    .map(d => d.split("h")[0].split(" ").map(Number));
                return frames.map(f => corners.filter(([x, y]) => x >= f.x && x < f.x + f.width &&
                    y >= f.y && y < f.y + f.height).length);
            }"""
        )
        assert inside == [15] * 6  # each map in its own frame


def test_script_and_library_share_one_arithmetic(desk):
    shown = explorer()
    with desk.open(static(shown)) as page:
        for index, scene in enumerate(shown.scenes):
            for layer in shown.cam:
                for thing in "TDC.":
                    values = shown.maps["0 %"][layer][index][1]
                    theirs = page.evaluate(
                        "([m, t, w]) => mstExplorers.views.saliency.share(m, t, w)",
                        [values, scene["truth"], thing],
                    )
                    assert theirs == pytest.approx(share(values, scene["truth"], thing))
        drive(page, network="75 %")
        assert say(page).startswith("75 %")
