"""The explorer of an architecture in a browser: a walk by keyboard and pointer, and its tensors."""

import pytest
from desk import say, static
from explorer_samples import WALK, explorers
from playwright.sync_api import expect


def test_walk_by_keyboard_and_by_pointer(desk):
    with desk.open(static(explorers()["architecture"])) as page:
        boxes, detail = page.locator(".mst-box"), page.locator(".mst-detail")
        assert boxes.count() == len(WALK) == 32
        assert say(page) == (
            "Layer 4 of 32: layers.0.blocks.0.attn.q_if, shape (64, 48), scaled binary"
        )
        for text in (
            "Eq. 6 of the paper",
            "(64, 48)",
            "0.117",
            "Random masks fall on these spikes.",
        ):
            expect(detail).to_contain_text(text)
        page.keyboard.press("Tab")
        for keys, index in [
            (["ArrowRight"], 4),
            (["ArrowDown", "ArrowLeft", "ArrowUp"], 3),
            (["End"], 31),
            (["ArrowRight"], 31),
            (["Home"], 0),
            (["ArrowLeft"], 0),
        ]:
            for key in keys:
                page.keyboard.press(key)
            assert say(page).startswith(f"Layer {index + 1} of 32: {WALK[index]['name']},")
            assert page.locator("[aria-current]").count() == 1
            assert boxes.nth(index).evaluate("e => e === document.activeElement")
        boxes.nth(8).click()
        expect(detail).to_contain_text("x + attention(norm(x))")
        assert boxes.evaluate_all("es => es.filter(e => e.tabIndex === 0).length") == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_description_stands_under_its_row(desk, width):
    with desk.open(static(explorers()["architecture"]), width=width) as page:
        for index in (0, 5, 12, 31):
            box = page.locator(".mst-box").nth(index)
            box.click()
            above, below = box.bounding_box(), page.locator(".mst-detail").bounding_box()
            gap = below["y"] - above["y"] - above["height"]
            assert 0 <= gap < 30


def test_walk_tells_signals_by_word_and_pattern(desk):
    with desk.open(static(explorers()["architecture"])) as page:
        kinds = page.locator(".mst-box-kind").all_inner_texts()
        assert kinds[:4] == [
            "conv · real",
            "spike · binary",
            "norm · real",
            "spike · scaled binary",
        ]
        patterns = [
            page.locator(f".mst-legend .mst-signal-{signal}").evaluate(
                "e => getComputedStyle(e).backgroundImage"
            )
            for signal in ("real", "scaled-binary", "binary")
        ]
        assert len(set(patterns)) == 3
        names = page.locator(".mst-box-name").all_inner_texts()
        assert names[:3] == ["patch_embed.proj", "patch_embed.proj_if", "norm1"]
        heads = page.locator(".mst-stage > .mst-title, .mst-block-title").all_inner_texts()
        assert heads == [
            "Stem", "Stage 0", "Block 0.0", "Block 0.1", "Stage 1", "Block 1.0", "Head",
        ]  # fmt: skip


def test_a_page_reads_tensors_as_python_wrote_them(desk):
    explorer = explorers()["architecture"]
    both = [
        (given["tensor"]["values"], stored["tensor"])
        for given, stored in zip(WALK, explorer.walk, strict=True)
        if "tensor" in given
    ]
    assert {stored["low"] < 0 for _, stored in both} == {True, False}
    with desk.open(static(explorer)) as page:
        for values, stored in both:
            shares = page.evaluate("mstExplorers.views.architecture.decode", stored)
            exact = [v / stored["high"] for row in values for v in row]
            assert shares == pytest.approx(exact, abs=0.51 / (30 if stored["low"] < 0 else 60))


def test_a_layer_shows_its_tensor_its_formula_and_its_mask(desk):
    with desk.open(static(explorers()["architecture"])) as page:
        picture, formula = page.locator(".mst-detail svg"), page.locator(".mst-formula").first
        assert picture.count() == 0  # none is stored for this layer
        masked = page.locator(".mst-box", has=page.locator(".mst-mask"))
        names = masked.locator(".mst-box-name").all_inner_texts()
        assert names == ["attn.attn_if"] * 3
        masked.first.click()
        assert say(page).endswith("scaled binary, masked")
        assert formula.inner_text() == "A = IF(Q KT / √dhead)"
        assert formula.locator("sup, sub").all_inner_texts() == ["T", "head"]
        assert formula.locator("i").all_inner_texts() == ["A", "Q", "K", "T", "d"]
        said = picture.get_attribute("aria-label")
        assert "16 by 48 (query by key), spikes in 8 steps: from 0 to 62, 0 % of them 0." in said
        assert "The largest in size: query 16, column 48." in said
        assert page.locator(".mst-detail .mst-outline").count() == 3  # one for each head
        assert page.locator(".mst-range").inner_text().split() == ["0", "62"]
        page.locator(".mst-box", has_text="norm1").first.click()
        assert page.locator(".mst-range").inner_text().split() == ["−100", "100"]
        hues = page.locator(".mst-detail .mst-cell").evaluate_all(
            "es => new Set(es.map(e => e.classList[2])).size"
        )
        assert hues == 2  # above and below zero
