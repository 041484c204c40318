"""Every explorer on every page of the built book: drawn, moved by keyboard and by mouse, and named.

The tests know no explorer. They take what stands on the page: each slider, radio button, list,
number and box must change the line that tells the result or the text alternative of a picture.
"""

import itertools
from collections.abc import Callable, Iterator

import pytest
from pages import WITH_EXPLORERS, each, settle, widgets
from playwright.sync_api import ElementHandle, Page
from playwright.sync_api import TimeoutError as Late

from mstlib.explorers.base import STATIC

# Each explorer is worked in both corners, and looked at in all eight.
CORNERS = pytest.mark.parametrize(
    ("scheme", "mode", "width"), [("http", "light", 1280), ("file", "dark", 390)]
)
PATIENCE = 5000  # ms: an explorer may compute before it shows the result
HELPERS = """() => {
    const pictures = (el) => [...el.querySelectorAll("svg[role=img], canvas")].filter(e => e.checkVisibility());
    window.seen = {
        // What the explorer says: the line, and what stands for its pictures.
        words: (el) => JSON.stringify([el.querySelector(".mst-say")?.textContent,
            ...pictures(el).map(e => e.getAttribute("aria-label"))]),
        pictures: (el) => pictures(el).map(e => ({
            label: e.getAttribute("aria-label") || "",
            drawn: e.matches("canvas") ? e.toDataURL() : e.innerHTML,
        })),
        quiet: (el) => !el.querySelector("[aria-busy=true]"),
    };
}"""  # noqa: E501
# What an explorer must be, however wide the page and whatever its colours.
FAULTS = """el => {
    const faults = [], card = el.getBoundingClientRect();
    if (!el.matches(".mst-explorer")) return ["it does not run: " + el.textContent.slice(0, 200)];
    if (!el.querySelector(".mst-say")?.textContent.trim()) faults.push("no line says its result");
    for (const e of el.querySelectorAll("svg[role=img], canvas")) {
        if (!e.checkVisibility()) continue;
        const box = e.getBoundingClientRect();
        if (box.width < 20 || box.height < 20) faults.push("a picture is too small to see");
        if (!e.getAttribute("aria-label")?.trim()) faults.push("a picture has no text alternative");
        if (e.matches("svg") && !e.childElementCount) faults.push("a picture is empty");
    }
    for (const e of el.querySelectorAll("text, p, label, legend, button, td, th, input, select")) {
        const box = e.getBoundingClientRect();
        if (!box.width || !e.checkVisibility()) continue;
        if (box.left < card.left - 1 || box.right > card.right + 1) {
            // a wide table may scroll in a box of its own
            const scrolls = e.closest("table")?.parentElement;
            if (scrolls && getComputedStyle(scrolls).overflowX === "auto") continue;
            faults.push("out of its card: " + (e.textContent || e.outerHTML).slice(0, 80));
        }
    }
    return faults;
}"""


class Explorer:
    """One explorer on an open page."""

    def __init__(self, page: Page, root: ElementHandle) -> None:
        self.page, self.root = page, root
        self.view = root.get_attribute("data-widget")

    def words(self) -> str:
        return self.root.evaluate("seen.words")

    def pictures(self) -> list[dict[str, str]]:
        return self.root.evaluate("seen.pictures")

    def changed(self, before: str, wait: int = PATIENCE) -> bool:
        """Whether it says something else than before, once it is done."""
        test = "([el, before]) => seen.words(el) !== before && seen.quiet(el)"
        try:
            self.page.wait_for_function(test, arg=[self.root, before], timeout=wait)
        except Late:
            return False
        return True

    def must_change(self, act: Callable[[], object], what: str) -> None:
        before = self.words()
        act()
        assert self.changed(before), f"{self.view}: {what} changes nothing"

    def controls(self, selector: str) -> Iterator[ElementHandle]:
        """Each visible control; its setting is as before when the next one comes."""
        for control in self.root.query_selector_all(selector):
            if not control.is_visible() or control.is_disabled():
                continue
            setting = control.get_attribute("data-setting")
            model = self.root.get_property("mstModel")
            before, words = model.evaluate("(m, name) => m.get(name)", setting), self.words()
            yield control
            if setting:
                now = self.words()
                model.evaluate("(m, [name, value]) => m.set(name, value)", [setting, before])
                if now != words:
                    self.changed(now)


def name_of(control: ElementHandle) -> str:
    label = "e => e.labels?.[0]?.textContent || e.ariaLabel || e.textContent || e.outerHTML"
    return f"“{control.evaluate(label)[:80]}”"


def value(slider: ElementHandle) -> float:
    return float(slider.input_value())


def move_by_keys(explorer: Explorer, slider: ElementHandle) -> None:
    """An arrow key, Home and End; the pictures' texts follow what the pictures show."""
    name, before = name_of(slider), explorer.words()
    slider.focus()
    last = value(slider) == float(slider.get_attribute("max"))
    start = value(slider)
    there, back = ("ArrowLeft", "ArrowRight") if last else ("ArrowRight", "ArrowLeft")
    slider.press(there)
    assert value(slider) != start, f"{explorer.view}: the arrow keys do not move {name}"
    # A short step may be too small to tell, a few of them, there or back, not.
    more = [there] * 3 + [back] * 8
    while more and not explorer.changed(before, 400 if len(more) > 1 else PATIENCE):
        slider.press(more.pop(0))
    assert more, f"{explorer.view}: the arrow keys on {name} change nothing"
    now = explorer.words()
    slider.press("Home")
    explorer.changed(now, 400)
    assert value(slider) == float(slider.get_attribute("min") or 0)
    pictures = explorer.pictures()
    explorer.must_change(lambda: slider.press("End"), f"End after Home on {name}")
    assert value(slider) == float(slider.get_attribute("max") or 100)
    assert slider.get_attribute("aria-valuetext")
    same_text(explorer, pictures, name)


def same_text(explorer: Explorer, before: list[dict[str, str]], what: str) -> None:
    """No picture may show something else under the same text."""
    after = explorer.pictures()
    if len(before) != len(after):
        return
    silent = [
        new["label"][:120]
        for old, new in zip(before, after, strict=True)
        if old["drawn"] != new["drawn"] and old["label"] == new["label"]
    ]
    assert not silent, f"{explorer.view}: {what} changes pictures but not their texts: {silent}"


def drag(explorer: Explorer, slider: ElementHandle) -> None:
    """From its end to a third of the way."""
    slider.press("End")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    mouse, y = explorer.page.mouse, box["y"] + box["height"] / 2

    def act() -> None:
        mouse.move(box["x"] + box["width"] - 8, y)
        mouse.down()
        mouse.move(box["x"] + 0.6 * box["width"], y, steps=2)
        mouse.move(box["x"] + 0.35 * box["width"], y)
        mouse.up()

    explorer.must_change(act, f"dragging {name_of(slider)}")
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    assert abs(value(slider) - low - 0.35 * (high - low)) <= max(0.1 * (high - low), 1)


def choose(explorer: Explorer, button: ElementHandle, *, by_mouse: bool) -> None:
    if button.is_checked():
        return
    name, pictures = name_of(button), explorer.pictures()
    if by_mouse:
        explorer.must_change(lambda: button.evaluate_handle("e => e.labels[0]").click(), name)
    else:
        # The arrow keys go round a group of radio buttons.
        group = button.evaluate_handle("e => e.closest('fieldset')")
        group.query_selector("input:checked").focus()
        before = explorer.words()
        for _ in group.query_selector_all("input"):
            explorer.page.keyboard.press("ArrowDown")
            if button.is_checked():
                break
        assert button.is_checked(), f"{explorer.view}: no arrow key reaches {name}"
        assert explorer.changed(before), f"{explorer.view}: {name} changes nothing"
    same_text(explorer, pictures, name)


def pick(explorer: Explorer, select: ElementHandle, *, by_mouse: bool) -> None:
    name = name_of(select)
    options = select.eval_on_selector_all("option", "es => es.map(e => e.value)")
    for option in [o for o in options if o != select.input_value()][:4]:
        pictures = explorer.pictures()
        if by_mouse:
            explorer.must_change(lambda o=option: select.select_option(o), f"{option} of {name}")
        else:
            first = select.input_value() == options[0]
            key = "ArrowDown" if first else "ArrowUp"
            explorer.must_change(lambda k=key: select.press(k), f"{key} on {name}")
        same_text(explorer, pictures, f"{option} of {name}")


def walk(explorer: Explorer, boxes: list[ElementHandle], *, by_mouse: bool) -> None:
    """Boxes of a walk: one is the current one, arrow keys go from there."""
    current = explorer.root.query_selector("[aria-current]")
    others = [box for box in boxes if box.get_attribute("aria-current") is None]
    if by_mouse:
        explorer.must_change(others[len(others) // 2].click, "clicking a box")
    else:
        current.focus()
        key = "ArrowLeft" if current.evaluate("(e, b) => e === b", boxes[-1]) else "ArrowRight"
        explorer.must_change(lambda: explorer.page.keyboard.press(key), "an arrow key on a box")


@CORNERS
@each(WITH_EXPLORERS)
def test_explorers_are_drawn_and_every_control_changes_them(book, name, scheme, mode, width):
    by_mouse = scheme == "http"
    with book.open(name, scheme=scheme, mode=mode, width=width) as page:
        # The page asks for less motion.
        assert page.get_by_role("button", name="Play").count() == 0
        moving = "document.getAnimations().filter(a => a.effect.target.closest('.mst-explorer'))"
        assert page.evaluate(f"{moving}.length") == 0
        page.evaluate(HELPERS)
        found = page.query_selector_all(".mst-widget[data-state]")
        assert [root.get_attribute("data-widget") for root in found] == widgets(name)
        explorers = [Explorer(page, root) for root in found]
        # The other corners, as the reader gets there: by the theme's button, by turning the phone.
        for seen_width, seen_mode in sorted(itertools.product((390, 1280), ("dark", "light"))):
            page.set_viewport_size({"width": seen_width, "height": 900})
            page.evaluate("mode => { document.documentElement.dataset.theme = mode }", seen_mode)
            for explorer in explorers:
                assert explorer.root.evaluate(FAULTS) == [], (explorer.view, seen_width, seen_mode)
            assert page.evaluate("document.documentElement.scrollWidth") <= seen_width
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("mode => { document.documentElement.dataset.theme = mode }", mode)
        for explorer in explorers:
            worked = 0
            for slider in explorer.controls("input[type=range]"):
                (drag if by_mouse else move_by_keys)(explorer, slider)
                worked += 1
            for button in explorer.controls("input[type=radio]"):
                choose(explorer, button, by_mouse=by_mouse)
                worked += 1
            for select in explorer.controls("select"):
                pick(explorer, select, by_mouse=by_mouse)
                worked += 1
            for box in explorer.controls("input[type=checkbox]"):
                explorer.must_change(
                    box.click if by_mouse else lambda b=box: b.press(" "), name_of(box)
                )
                worked += 1
            for number in explorer.controls("input[type=number]"):
                explorer.must_change(lambda n=number: n.press("ArrowUp"), name_of(number))
                worked += 1
            if boxes := explorer.root.query_selector_all(".mst-box"):
                walk(explorer, boxes, by_mouse=by_mouse)
                worked += 1
            assert worked, f"{explorer.view} has no control"
            assert explorer.root.evaluate(FAULTS) == []
        settle(page)
        # On closing, `open` fails on every request to another machine, missing file and error.


def test_every_view_stands_on_a_page():
    shown = [view for name in WITH_EXPLORERS for view in widgets(name)]
    scripts = {path.stem for path in STATIC.glob("*.js") if not path.stem.startswith("mst_")}
    assert set(shown) >= scripts
    assert len(WITH_EXPLORERS) >= 10


@each(WITH_EXPLORERS)
def test_without_scripts_a_table_stands_there(book, name):
    # not strict: the browser asks ahead for scripts, and then drops them
    with book.open(name, scripts=False, strict=False) as page:
        found = page.locator(".mst-widget[data-state]")
        assert found.count() == len(widgets(name))
        for widget in found.all():
            table = widget.locator("table").first
            assert table.is_visible()
            assert table.locator("caption").inner_text().strip()
            assert table.locator("tbody tr").count() > 0
