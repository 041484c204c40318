"""The live explorer's view in a browser: its words and numbers, the keyboard, a finger, a phone."""

import base64
import json

import numpy as np
from desk import answer, ask, say
from playwright.sync_api import Page, expect

from mstlib.analysis.saliency import spike_activation_map
from mstlib.explorers import NetworkExplorer
from mstlib.explorers.page import INKS, pictures


def settings(page: Page) -> dict:
    return page.evaluate("document.querySelector('.mst-widget').mstModel.settings")


def settle(page: Page) -> None:
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def test_the_sentence_says_what_pytorch_finds(desk):
    cases = [{"ratio": 0.75}, {"ratio": 0.5, "mlp_ratio": 0.1, "picture": 4, "seed": 2}]

    with desk.live(NetworkExplorer()) as page:
        said = []
        for case in cases:
            ask(page, **case)
            settle(page)
            table = page.locator(".mst-costs").inner_text()
            label = page.locator("canvas[role=img]").get_attribute("aria-label")
            said.append((say(page), table, label))
    for case, (text, table, label) in zip(cases, said, strict=True):
        explorer = NetworkExplorer(**case)
        masked, unmasked = explorer.run, explorer.unmasked
        truth = pictures("mst-digits").labels[explorer.picture]
        found = [int(masked.predictions(t)) for t in range(1, 33)]
        settled = max([t for t in range(1, 33) if found[t - 1] != found[-1]], default=0) + 1
        assert f"Answer: {found[-1]}, which is " in text
        assert ("which is right" in text) == (found[-1] == truth)
        assert f"settled at step {settled} of 32." in text
        plain = int(unmasked.predictions())
        wanted = "the same" if plain == found[-1] else str(plain)
        assert text.endswith(f"without masks the answer is {wanted}.")

        both = explorer.compute()
        shares = [
            both["masked"]["totals"][what] / both["unmasked"]["totals"][what]
            for what in ("emitted", "delivered", "synaptic")
        ]
        for share in shares:
            assert f"{100 * share:.0f} %" in table
        assert f"Saved: {100 * (1 - shares[1]):.0f} % of the spikes" in text
        millions = both["masked"]["totals"]["synaptic"] * 32 / 1e6
        assert f"{millions:.2f} M" in table
        assert label.startswith(f"Test picture {explorer.picture + 1} of 50: {truth},")


def test_maps_and_logits_follow_the_cursor(desk):
    explorer = NetworkExplorer(ratio=0.25, block=1, steps=12)

    with desk.live(explorer) as page:
        settle(page)
        labels = {}
        for t in (5, 12):
            ask(page, time=t)
            shown = page.locator(".mst-panel svg[role=img]").all()
            labels[t] = [svg.get_attribute("aria-label") for svg in shown]
    both = explorer.compute()
    name = "layers.0.blocks.1.mlp.fc2_if"
    packed = np.frombuffer(base64.b64decode(both["masked"]["spikes"][name]), np.uint8)
    spikes = np.unpackbits(packed, bitorder="little")[: 12 * 64 * 48].reshape(12, 64, 48)
    maps = spike_activation_map(explorer.run.spikes[name][:, 0].view(12, 64, 48))
    assert np.array_equal(spikes, explorer.run.spikes[name][:, 0].view(12, 64, 48).numpy())
    for t, (_, logits, raster, attention, activation) in labels.items():
        for what, label, now in (
            ("Attention in block 1", attention, np.array(both["masked"]["attention"])[t - 1]),
            ("Spike activation map of block 1", activation, maps[t - 1].numpy()),
        ):
            place = int(now.argmax())
            assert label == (
                f"{what} after step {t}, 8 by 8 tokens: highest, {now.max():.3f}, "
                f"in row {place // 8 + 1}, column {place % 8 + 1}."
            )
        mean = explorer.run.logits[:t, 0].mean(0)
        best = int(mean.argmax())
        assert f"After step {t}: {best} {mean[best]:.2f}, then" in logits.replace("−", "-")
        assert raster.endswith(f"The cursor is at step {t}.")


def test_step_goes_on_by_one_and_begins_anew_at_the_end(desk):
    with desk.live(NetworkExplorer(steps=3)) as page:
        button = page.get_by_role("button", name="Step")
        times = []
        for _ in range(4):
            button.click()
            times.append(settings(page)["time"])
    assert times == [1, 2, None, 1]


def test_old_panels_stand_back_until_the_new_answer_is_there(desk):
    with desk.live(NetworkExplorer(ratio=0.25)) as page:
        settle(page)
        now = page.evaluate(
            """() => {
                document.querySelector(".mst-widget").mstModel.set("ratio", 0.75);
                return [document.querySelector(".mst-say").textContent,
                    document.querySelectorAll(".mst-stale[aria-busy=true]").length,
                    document.querySelector("svg[role=img]").getAttribute("aria-label")];
            }"""
        )
        assert now[0].startswith("75 % masked in the attention: about 75 % of the test pict")
        assert now[0].endswith("Test picture 1 of 50: 6 is being worked on.")
        assert now[1] == 3
        assert now[2].endswith("You are at 75 % and 0 %.")
        settle(page)
        assert "Answer: " in say(page)
        assert page.locator(".mst-stale").count() == 0


def test_a_digit_is_drawn_with_the_keys_alone(desk):
    with desk.live(NetworkExplorer(ratio=0)) as page:
        canvas = page.locator("canvas.mst-drawing")
        canvas.focus()
        for key in ["ArrowUp", " ", *["ArrowDown"] * 10, " ", *["ArrowRight"] * 5]:
            page.keyboard.press(key)
        assert "pen up" in canvas.get_attribute("aria-label")
        page.wait_for_function("document.querySelector('.mst-widget').mstModel.get('drawing')")
        settle(page)
        assert say(page).split("Answer: ")[1].startswith("1, settled")  # an upright stroke
        assert page.get_by_text("your drawing").is_visible()
        drawing = settings(page)["drawing"]
        page.get_by_label("Test picture").press("ArrowRight")
        assert settings(page)["drawing"] == ""
        settle(page)
        assert "empty" in canvas.get_attribute("aria-label")
        assert page.locator("canvas[role=img]").get_attribute("aria-label").startswith("Test")
    assert NetworkExplorer(ratio=0, drawing=drawing).run.predictions().item() == 1


def test_a_drawing_from_the_kernel_is_shown_and_cleared(desk):
    text = pictures("mst-digits").data[8]

    with desk.live(NetworkExplorer(ratio=0)) as page:
        ask(page, drawing=text)
        settle(page)
        label = page.locator("canvas.mst-drawing").get_attribute("aria-label")
        assert f"{sum(INKS.index(c) for c in text)} of 1024 cells inked" in label
        page.get_by_role("button", name="Clear").click()
        page.wait_for_function(
            "document.querySelector('.mst-widget').mstModel.get('drawing') === ''"
        )


def test_only_networks_of_digits_offer_to_draw(desk):
    with desk.live(NetworkExplorer(drawing="8" * 64)) as page:
        page.get_by_label("Network").select_option("mst-scenes")
        assert settings(page)["drawing"] == ""
        assert not page.locator("canvas.mst-drawing").is_visible()
        answer(page)
        settle(page)
        found = say(page).split("Answer: ")[1].split(",")[0]
        assert found in pictures("mst-scenes").classes
        page.get_by_label("Network").select_option("mst-digits")
        assert page.locator("canvas.mst-drawing").is_visible()


def test_a_finger_draws_on_a_phone_and_the_page_stays_where_it_is(desk):
    phone = {"width": 390, "has_touch": True, "is_mobile": True}
    with desk.live(NetworkExplorer(ratio=0), **phone) as page:
        canvas = page.locator("canvas.mst-drawing")
        canvas.scroll_into_view_if_needed()
        box, before = canvas.bounding_box(), page.evaluate("scrollY")
        finger = page.context.new_cdp_session(page)
        x = box["x"] + box["width"] / 2
        for k, kind in enumerate(["touchStart", *["touchMove"] * 8, "touchEnd"]):
            y = box["y"] + box["height"] * (0.1 + 0.1 * k)
            points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_function("document.querySelector('.mst-widget').mstModel.get('drawing')")
        got = answer(page)
        assert page.evaluate("scrollY") == before
    drawing = json.loads(got["key"])["drawing"]
    assert NetworkExplorer(drawing=drawing, ratio=0).run.predictions().item() == 1
    assert np.mean(got["masked"]["logits"], 0).argmax() == 1
