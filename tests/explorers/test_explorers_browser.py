"""The explorers in a real browser, on pages of their own: with no kernel, and as a module.

How they fit, contrast and name their pictures is tested where they stand, in tests/browser.
"""

import datetime
import functools
import http.server
import itertools
import math
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from chromium import CHROMIUM, FLAGS
from explorer_samples import BACKBONES, CURVES, LEDGER, PROFILES, TRACES, WALK, explorers
from inline_sample import MultiplesExplorer
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mstlib.explorers import ConversionExplorer, EnergyExplorer, NeuronExplorer, QCFSExplorer
from mstlib.explorers import page as web
from mstlib.explorers.base import STATIC
from mstlib.neurons import RESETS, integrate_and_fire
from mstlib.qcfs import qcfs

VIEWS = [
    "neuron",
    "qcfs",
    "architecture",
    "conversion",
    "normalisation",
    "saliency",
    "product",
    "energy",
    "events",
    "masking",
    "backbones",
    "cost",
    "network",
]
# Playwright holds one event loop a thread, and the tests of the built book hold the main one's.
THREAD = ThreadPoolExecutor(1)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
EVERY = pytest.mark.parametrize("view", VIEWS)


def in_thread(function: Callable) -> Callable:
    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> object:
        return THREAD.submit(function, *args, **kwargs).result()

    return run


@dataclass
class Desk:
    """Writes small pages and opens them, over http or as files; faults fail the test."""

    browser: Browser
    folder: Path
    address: str

    @contextmanager
    def open(
        self,
        body: str,
        *,
        scheme: str = "http",
        mode: str = "light",
        width: int = 1280,
        motion: str = "reduce",
        strict: bool = True,
        **options: object,
    ) -> Iterator[Page]:
        colours = {
            "light": "background:#fff;color:#222",
            "dark": "background:#14181e;color:#ced6dd",
        }
        (self.folder / "page.html").write_text(
            f'<!doctype html><html lang="en" data-theme="{mode}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>Explorers</title>'
            f'<link rel="stylesheet" href="explorers.css"><style>body{{{colours[mode]}}}</style>'
            f"<body><main><h1>Explorers</h1>{body}</main></body></html>",
            encoding="utf-8",
        )
        context = self.browser.new_context(
            viewport={"width": width, "height": 800}, reduced_motion=motion, **options
        )
        page, faults = context.new_page(), []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("requestfailed", lambda request: faults.append(request.url))
        base = self.address if scheme == "http" else self.folder.as_uri()
        page.goto(f"{base}/page.html")
        if options.get("java_script_enabled", True):
            page.evaluate("globalThis.mstExplorers?.start?.()")  # all of them run
        yield page
        context.close()
        assert not (strict and faults)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("explorers")
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    for view, explorer in explorers().items():
        (folder / f"{view}.mjs").write_text(explorer._esm, encoding="utf-8")
    web.write(folder / "models", ["mst-digits"])
    (folder / "favicon.ico").touch()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    playwright = in_thread(sync_playwright().start)()
    browser = in_thread(playwright.chromium.launch)(executable_path=CHROMIUM, args=FLAGS)
    yield Desk(browser, folder, f"http://127.0.0.1:{server.server_port}")
    in_thread(browser.close)()
    in_thread(playwright.stop)()
    server.shutdown()
    server.server_close()


def static(*shown) -> str:
    """What a page of the built book holds: the outputs' HTML, and the host."""
    return "".join(e.to_html() for e in shown) + '<script src="mst_host.js"></script>'


def say(page: Page) -> str:
    return page.locator(".mst-say").inner_text()


def drive(page: Page, name: str, value: object) -> None:
    """What a kernel does: assign to a setting."""
    page.evaluate(
        "([k, v]) => document.querySelector('.mst-widget').mstModel.set(k, v)", [name, value]
    )


# ---- every explorer ----


@EVERY
@pytest.mark.parametrize("scheme", ["http", "file"])
@in_thread
def test_starts_without_a_kernel(desk, view, scheme):
    with desk.open(static(explorers()[view]), scheme=scheme) as page:
        assert page.locator(".mst-explorer").count() == 1
        assert page.locator(".mst-widget table:not([class])").count() == 0  # the fallback gave way
        assert len(say(page)) > 20
        first = page.locator(".mst-say").element_handle()
        page.evaluate("mstExplorers.start()")  # again: must not start it twice
        assert first.evaluate("e => e.isConnected")


@EVERY
@in_thread
def test_reads_without_javascript(desk, view):
    with desk.open(static(explorers()[view]), java_script_enabled=False) as page:
        assert page.locator(".mst-widget table").first.is_visible()
        assert page.locator(".mst-widget caption").first.inner_text()


@EVERY
@in_thread
def test_runs_as_the_module_anywidget_loads(desk, view):
    explorer = explorers()[view]
    state = explorer.to_html().replace("mst-widget", "state").replace("<table", "<table hidden")
    body = f"""{state}<div id="here"></div>
        <script type="module">
        import view from "./{view}.mjs";
        const settings = JSON.parse(document.querySelector(".state").dataset.state);
        const listening = new Set();
        const model = {{
          get: (name) => settings[name], set() {{}}, save_changes() {{}},
          on: (event) => listening.add(event), off: (event) => listening.delete(event),
        }};
        const el = document.getElementById("here");
        const end = view.render({{ model, el }});
        window.events = [...listening];
        window.finish = () => {{ end(); return listening.size; }};
        </script>"""
    with desk.open(body) as page:
        expect(page.locator("#here .mst-say")).not_to_be_empty()
        heard = {*explorer._settings, *({"answer"} & set(explorer.traits()))}
        assert set(page.evaluate("events")) == {f"change:{name}" for name in heard}
        assert page.evaluate("finish()") == 0


@EVERY
@in_thread
def test_tab_reaches_every_control_and_jupyterlab_leaves_the_keys_alone(desk, view):
    with desk.open(static(explorers()[view]), motion="no-preference") as page:
        # of a group of radio buttons, and of the boxes of a walk, one is a stop
        controls = page.locator(".mst-explorer").locator(
            "input[type=range], input[type=radio]:checked, select, .mst-button, [aria-current], "
            "canvas[tabindex]"
        )
        controls = controls.filter(visible=True)  # what has no influence just now is not offered
        assert controls.count()
        for _ in range(controls.count()):
            page.keyboard.press("Tab")
            page.evaluate("document.activeElement.dataset.reached = 'yes'")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
        marks = controls.evaluate_all("es => es.map(e => e.dataset.reached)")
        assert set(marks) == {"yes"}
        all_inputs = page.locator(".mst-explorer").locator("input, select, button")
        marks = all_inputs.evaluate_all("es => es.map(e => e.dataset.lmSuppressShortcuts)")
        assert set(marks) == {"true"}


@in_thread
def test_several_on_one_page_stay_apart(desk):
    with desk.open(static(*explorers().values(), NeuronExplorer())) as page:
        assert page.locator(".mst-explorer").count() == len(VIEWS) + 1
        ids = page.locator("[id]").evaluate_all("es => es.map(e => e.id)")
        assert len(ids) == len(set(ids)) > 8
        lines = page.locator(".mst-say")
        # the network answers when a reader comes near
        page.locator("[data-widget=network]").scroll_into_view_if_needed()
        expect(lines.filter(has_text="worked on")).to_have_count(0)
        before = lines.all_inner_texts()
        page.locator(".mst-explorer").last.get_by_label("Current", exact=True).press("End")
        after = lines.all_inner_texts()
        assert after[:-1] == before[:-1]
        assert after[-1] != before[-1]


@pytest.mark.parametrize("explorer", [NeuronExplorer, QCFSExplorer])
@in_thread
def test_sliders_cover_what_python_allows(desk, explorer):
    with desk.open(static(explorer())) as page:
        sliders = page.locator("input[type=range]:not([data-setting=time])").evaluate_all(
            "es => es.map(e => [e.dataset.setting, Number(e.min), Number(e.max)])"
        )
        assert len(sliders) >= 3
        for name, low, high in sliders:
            trait = explorer.class_traits()[name]
            assert (low, high) == (trait.low, trait.high)


@pytest.mark.parametrize("scheme", ["http", "file"])
@in_thread
def test_an_explorer_with_a_script_of_its_own_starts_like_the_others(desk, scheme):
    shown = (NeuronExplorer(), MultiplesExplorer(), MultiplesExplorer(factor=5))
    with desk.open(static(*shown), scheme=scheme) as page:
        lines = page.locator(".mst-say")
        expect(lines).to_have_count(3)
        said = "</script> <!-- <script> are text; 3 × {} is {}"
        assert lines.all_inner_texts()[1:] == [said.format(2, 6), said.format(5, 15)]
        page.get_by_label("Factor").first.press("ArrowRight")
        assert lines.all_inner_texts()[1:] == [said.format(3, 9), said.format(5, 15)]


@in_thread
def test_an_explorer_with_a_script_of_its_own_runs_as_a_module(desk):
    (desk.folder / "multiples.mjs").write_text(MultiplesExplorer()._esm, encoding="utf-8")
    body = """<div id="here"></div><script type="module">
        import view from "./multiples.mjs";
        const model = { get: () => 4, set() {}, save_changes() {}, on() {}, off() {} };
        view.render({ model, el: document.getElementById("here") });
        </script>"""
    with desk.open(body) as page:
        expect(page.locator("#here .mst-say")).to_contain_text("3 × 4 is 12")


# ---- the neuron ----


@in_thread
def test_neuron_is_the_library_s(desk):
    draw = random.Random(0)
    settings = [
        {
            "current": draw.uniform(-0.2, 1.5),
            "threshold": draw.uniform(0.5, 2),
            "reset": reset,
            "start": start,
            "steps": draw.randint(1, 128),
        }
        for reset in RESETS
        for start in (0, 0.5)
        for _ in range(50)
    ]
    with desk.open(static(NeuronExplorer())) as page:
        runs = page.evaluate("all => all.map(mstExplorers.views.neuron.simulate)", settings)
    fired = 0
    for s, run in zip(settings, runs, strict=True):
        current = torch.full((s["steps"],), s["current"], dtype=torch.float64)
        v0 = s["start"] * s["threshold"]
        spikes, potentials = integrate_and_fire(current, s["threshold"], v0, s["reset"])
        assert run["spikes"] == spikes.tolist(), s
        assert run["potentials"] == pytest.approx(potentials.tolist(), abs=1e-12), s
        fired += sum(run["spikes"])
    assert fired > 1000


@in_thread
def test_neuron_says_its_rate_and_follows_every_control(desk):
    with desk.open(static(NeuronExplorer())) as page:
        assert say(page) == (
            "12 spikes in 40 steps: θN/T = 0.300 for a current of 0.300. "
            "With reset to zero: 10 spikes, θN/T = 0.250"
        )
        page.get_by_label("back to zero").check()
        assert say(page) == (
            "10 spikes in 40 steps: θN/T = 0.250 for a current of 0.300. "
            "With soft reset: 12 spikes, θN/T = 0.300"
        )
        current = page.get_by_label("Current", exact=True)
        current.press("Home")
        assert say(page).startswith("0 spikes in 40 steps: θN/T = 0.000 for a current of −0.200.")
        current.press("End")
        current.press("ArrowLeft")
        assert current.get_attribute("aria-valuetext") == "1.49"
        assert say(page).startswith("40 spikes in 40 steps: θN/T = 1.000")
        page.get_by_label("Steps T").press("Home")
        assert say(page).startswith("1 spike in 1 step: ")
        page.get_by_label("Threshold θ").press("End")
        assert say(page).startswith("1 spike in 1 step: θN/T = 2.000")
        page.get_by_label("0", exact=True).check()
        assert say(page).startswith("0 spikes in 1 step")


@in_thread
def test_neuron_draws_what_it_says(desk):
    with desk.open(static(NeuronExplorer())) as page:
        soft, zero, raster, rate = page.locator(".mst-panel").all()
        assert soft.locator("svg[role=img] .mst-dot").count() == 12
        assert soft.locator(".mst-bar").count() == 0  # a soft reset throws nothing away
        assert zero.locator("svg[role=img] .mst-dot").count() == 10
        # 0.5 → 1.1, and then always from 0 to 1.2: 0.1 and nine times 0.2
        assert zero.locator(".mst-bar").count() == 10
        assert "1.90 thrown away" in zero.locator("svg").get_attribute("aria-label")
        assert raster.locator(".mst-spike.mst-blue").count() == 12
        assert raster.locator(".mst-spike.mst-red").count() == 10
        label = rate.locator("svg[role=img]").get_attribute("aria-label")
        assert label.endswith("Your neuron: 0.300 at 0.30.")
        assert "soft reset" in soft.inner_text()


@in_thread
def test_neuron_cursor_looks_at_one_step(desk):
    with desk.open(static(NeuronExplorer())) as page:
        note = page.locator(".mst-note")
        assert note.inner_text() == (
            "After step 40: soft reset v = 0.500, 12 spikes; "
            "reset to zero v = 0.600, 10 spikes, 1.900 thrown away."
        )
        cursor = page.get_by_label("Cursor")
        for _ in range(35):
            cursor.press("ArrowLeft")
        # 0.5 + 5 · 0.3 = 2.0: two spikes, nothing left; or one spike, 0.1 lost, and 0.9 since
        assert note.inner_text() == (
            "After step 5: soft reset v = 0.000, 2 spikes; "
            "reset to zero v = 0.900, 1 spike, 0.100 thrown away."
        )
        assert say(page).startswith("12 spikes in 40 steps")
        cursor.press("End")
        page.get_by_label("Steps T").press("End")
        assert "After step 128" in page.locator(".mst-note").inner_text()


@in_thread
def test_a_kernel_drives_the_view(desk):
    with desk.open(static(NeuronExplorer())) as page:
        drive(page, "threshold", 2)
        assert say(page).startswith("6 spikes in 40 steps: θN/T = 0.300 for a current of 0.300.")
        assert page.get_by_label("Threshold θ").input_value() == "2"
        drive(page, "reset", "zero")
        assert page.get_by_label("back to zero").is_checked()
        drive(page, "time", 3)
        assert "After step 3:" in page.locator(".mst-note").inner_text()


@in_thread
def test_play_moves_the_cursor_to_the_end_unless_motion_is_unwanted(desk):
    shown = static(NeuronExplorer(steps=6))
    with desk.open(shown) as page:
        assert page.locator(".mst-button").count() == 0
    with desk.open(shown, motion="no-preference") as page:
        button, note = page.locator(".mst-button"), page.locator(".mst-note")
        page.clock.install()  # the page's time is what the test says, however busy the machine
        page.clock.pause_at(datetime.datetime.now() + datetime.timedelta(days=1))
        button.click()
        expect(button).to_have_text("Pause")
        for step in (1, 2):
            page.clock.run_for(150)
            assert f"After step {step}:" in note.inner_text()
        stopped = note.inner_text()
        button.click()
        page.clock.run_for(5000)
        assert note.inner_text() == stopped
        button.click()
        page.clock.run_for(5000)
        expect(note).to_contain_text("After step 6:")
        expect(button).to_have_text("Play")


PLAYER = """<div class="mst-widget" data-widget="player" data-state='{"time":null}'></div><script>
    (globalThis.mstExplorerQueue ??= []).push((mstExplorers) => {
      const { timeline, explorer } = mstExplorers.parts;
      mstExplorers.views.player = {
        render({ model, el }) {
          const controls = [timeline(model, "time", { label: "Step", last: () => 4 })];
          const draw = () => `step ${model.get("time") ?? 4}`;
          return explorer({ model, el, watch: ["time"], controls, body: [], draw });
        },
      };
    });</script><script src="mst_host.js"></script>"""


@in_thread
def test_the_line_read_aloud_is_silent_while_something_plays(desk):
    with desk.open(PLAYER, motion="no-preference") as page:
        page.evaluate(
            """() => {
                const line = document.querySelector(".mst-say");
                window.said = [];
                window.seen = [];
                new MutationObserver(() => {
                    window.seen.push(line.textContent);
                    if (line.getAttribute("aria-live") === "polite") said.push(line.textContent);
                }).observe(line, {childList: true});
            }"""
        )
        page.clock.install()
        page.clock.pause_at(datetime.datetime.now() + datetime.timedelta(days=1))
        button = page.get_by_role("button", name="Play")
        button.click()
        page.clock.run_for(300)
        assert page.locator(".mst-say").get_attribute("aria-busy") == "true"
        assert page.evaluate("[seen, said]") == [["step 0", "step 1", "step 2"], []]
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate("said") == ["step 2"]
        button.click()
        page.clock.run_for(3000)
        expect(button).to_have_text("Play")
        assert page.evaluate("said") == ["step 2", "step 4"]  # what it came to, once
        assert page.locator(".mst-say").get_attribute("aria-busy") == "false"
        page.get_by_label("Step").press("ArrowLeft")
        assert page.evaluate("said") == ["step 2", "step 4", "step 3"]


@in_thread
def test_where_a_script_is_missing_the_table_stays_and_a_sentence_says_so(desk):
    shown = static(explorers()["neuron"], explorers()["qcfs"])
    (desk.folder / "neuron.js").rename(desk.folder / "away.js")
    try:
        with desk.open(shown, strict=False) as page:
            assert page.locator(".mst-explorer").count() == 1  # the other one runs
            left = page.locator(".mst-widget").first
            assert left.locator("table").is_visible()
            expect(left).to_contain_text("the script neuron.js could not be loaded")
    finally:
        (desk.folder / "away.js").rename(desk.folder / "neuron.js")


# ---- QCFS ----


@in_thread
def test_qcfs_and_its_neuron_are_the_library_s(desk):
    draw = random.Random(1)
    settings = [
        [draw.uniform(0.5, 2), draw.randint(1, 32), draw.randint(1, 64), draw.uniform(0, 1)]
        for _ in range(20)
    ]
    inputs = [draw.uniform(-0.5, 1.5) for _ in range(40)]
    with desk.open(static(QCFSExplorer())) as page:
        found = page.evaluate(
            """([settings, inputs]) => {
                const { qcfs, fire, meanDifference } = mstExplorers.views.qcfs;
                return settings.map(([theta, L, T, start]) => [
                    inputs.map((z) => qcfs(z * theta, theta, L)),
                    inputs.map((z) => fire(z * theta, theta, T, start)),
                    meanDifference(theta, T, start),
                ]);
            }""",
            [settings, inputs],
        )
    for (theta, levels, steps, start), (staircase, rates, mean) in zip(
        settings, found, strict=True
    ):
        z = theta * torch.tensor(inputs, dtype=torch.float64)
        assert staircase == pytest.approx(qcfs(z, theta, levels).tolist(), abs=1e-12)
        spikes, _ = integrate_and_fire(z.repeat(steps, 1), theta, start * theta)
        assert rates == pytest.approx((theta * spikes.mean(0)).tolist(), abs=1e-12)
        even = theta * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        spikes, _ = integrate_and_fire(even.repeat(steps, 1), theta, start * theta)
        measured = (theta * spikes.mean(0) - qcfs(even, theta, levels)).mean().item()
        assert mean == pytest.approx(measured, abs=theta * 1e-3)


@pytest.mark.parametrize("size", [1, 7, 8, 32])
@in_thread
def test_staircases_coincide_only_with_as_many_steps_as_levels_from_half(desk, size):
    with desk.open(static(QCFSExplorer(levels=size, steps=size))) as page:
        line = page.locator(".mst-panel svg[role=img]").nth(1)
        assert "the two staircases coincide. " in say(page)
        marks = page.locator(".mst-panel svg[role=img]").first.locator(".mst-fill")
        assert marks.count() == 0
        assert say(page).endswith("0.0000")
        assert line.get_attribute("aria-label") == (
            "The difference is zero everywhere, for inputs from −0.25 to 1.25."
        )
        page.get_by_label("Steps T").press("ArrowRight")
        assert "they differ by up to" in say(page)
        assert say(page).endswith("0.0000")  # the mean stays zero
        assert marks.count() == 1
        drive(page, "steps", size)
        page.get_by_label("Start v₀").press("Home")
        assert "they differ by up to" in say(page)
        assert say(page).endswith(f"−{0.5 / size:.4f}")


# ---- the walk through an architecture ----


@in_thread
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
@in_thread
def test_description_stands_under_its_row(desk, width):
    with desk.open(static(explorers()["architecture"]), width=width) as page:
        for index in (0, 5, 12, 31):
            box = page.locator(".mst-box").nth(index)
            box.click()
            above, below = box.bounding_box(), page.locator(".mst-detail").bounding_box()
            gap = below["y"] - above["y"] - above["height"]
            assert 0 <= gap < 30


@in_thread
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


@in_thread
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


@in_thread
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


# ---- the price of conversion ----


@in_thread
def test_conversion_shows_what_is_stored(desk):
    with desk.open(static(ConversionExplorer(CURVES, LEDGER, "mst-scenes"))) as page:
        account, stored = LEDGER["mst-scenes"], CURVES["mst-scenes"]["accuracy"]
        assert say(page) == (
            f"mst-scenes, T = 32: accuracy {100 * stored[31]:.1f} %, QCFS network 99.9 %. "
            "Largest error at T = 32: product, 0.183"
        )
        bars = page.locator(".mst-panel").nth(1)
        widths = bars.locator("svg[role=img] rect").evaluate_all(
            "es => es.map(e => +e.getAttribute('width'))"
        )
        errors = [row[2] for row in account["error"]]
        assert len(widths) == len(errors)
        for width, error in zip(widths, errors, strict=True):
            assert width / max(widths) == pytest.approx(error / max(errors), abs=0.01)
        cells = page.locator(".mst-panel").nth(2).locator(".mst-small").all_text_contents()
        assert cells[:5] == ["0.021"] * 5
        assert cells[5:7] == ["0.11", "0.056"]
        assert cells[-3] == "1e−4"


@in_thread
def test_conversion_slider_is_logarithmic(desk):
    with desk.open(static(ConversionExplorer(CURVES, LEDGER, "mst-scenes", steps=1))) as page:
        slider = page.get_by_label("Steps T")
        seen = [1]
        while len(seen) < 200 and seen[-1] < 128:
            slider.press("ArrowRight")
            seen.append(int(slider.get_attribute("aria-valuetext")))
            stored = CURVES["mst-scenes"]["accuracy"][seen[-1] - 1]
            assert f"T = {seen[-1]}: accuracy {100 * stored:.1f} %" in say(page)
        assert seen[-1] == 128
        assert seen[:4] == [1, 2, 3, 4]
        assert len(seen) < 60
        assert {8, 16, 32, 64} < set(seen)
        ratios = [b / a for a, b in itertools.pairwise(seen) if a >= 16]
        assert max(ratios) < 1.14


@in_thread
def test_conversion_takes_the_nearest_stored_step_and_misses_no_ledger(desk):
    with desk.open(static(ConversionExplorer(CURVES, LEDGER, "mst-scenes", steps=90))) as page:
        title = page.locator(".mst-panel .mst-title").nth(1)
        assert title.inner_text() == "Error by cause at T = 64"  # log2: 90 lies below 90.5
        drive(page, "steps", 91)
        assert title.inner_text() == "Error by cause at T = 128"
        assert math.sqrt(64 * 128) == pytest.approx(90.5, abs=0.02)
        page.get_by_label("Network", exact=True).select_option("mst-digits")
        assert say(page).startswith("mst-digits, T = 91: accuracy ")
        assert page.get_by_text("No ledger of errors is stored for this network.").is_visible()
        assert page.locator(".mst-panel:visible").count() == 1
        drive(page, "network", "mst-scenes")
        assert page.locator(".mst-panel:visible").count() == 3
        assert re.search(r"T = 128: product, 0\.183$", say(page))


# ---- LayerNorm against BatchNorm ----


@in_thread
def test_normalisation_shows_what_is_stored_and_follows_every_control(desk):
    with desk.open(static(explorers()["normalisation"])) as page:
        assert say(page) == (
            "T = 32. BatchNorm: distance 0.012 θ, 82.0 % of the values near 0, "
            "in the trained network 70.0 %. LayerNorm: distance 0.012 θ, "
            "88.0 % of the values near 0, in the trained network 70.0 %"
        )
        panels = page.locator(".mst-panel")
        away = panels.nth(2)
        for norm, spread in (("BatchNorm", panels.nth(0)), ("LayerNorm", panels.nth(1))):
            bars = spread.locator("svg[role=img] rect").evaluate_all(
                "es => es.map(e => +e.getAttribute('width'))"
            )
            layer = PROFILES[norm]["layers.0.blocks.0.mlp.fc2_if"]
            for width, share in zip(bars, layer["snn"][2], strict=True):
                assert width / max(bars) == pytest.approx(share / max(layer["snn"][2]), abs=0.01)
            assert spread.locator("circle[r='5']").count() == len(bars)
            assert spread.locator(".mst-title").inner_text() == f"{norm}, T = 32"

        page.get_by_label("Steps T").press("Home")
        assert say(page).startswith("T = 2. BatchNorm: distance 0.300 θ, 90.0 % of the values")
        page.get_by_label("Layer of neurons").select_option("patch_embed.proj_if")
        page.get_by_label("Steps T").press("ArrowRight")
        assert "LayerNorm: distance 0.050 θ" in say(page)
        drive(page, "norm", "LayerNorm")
        assert say(page).startswith("T = 8. LayerNorm: distance 0.050 θ")
        label = away.locator("svg[role=img]").get_attribute("aria-label")
        assert "LayerNorm: 0.200 at T = 2, 0.050 at T = 8, 0.012 at T = 32" in label


# ---- energy ----


@in_thread
def test_energy_agrees_with_python_and_follows_every_control(desk):
    explorer = explorers()["energy"]
    with desk.open(static(explorer)) as page:

        def drawn() -> dict[str, float]:
            text = page.locator(".mst-panel").nth(1).locator("svg").get_attribute("aria-label")
            return {name: float(v) for name, v in re.findall(r"([a-z][\w, -]*?) ([\d.]+) µJ", text)}

        def agree() -> None:
            for name, shown in drawn().items():
                assert shown == pytest.approx(explorer.energies(explorer.steps)[name], rel=0.006)

        assert len(drawn()) == 4
        agree()
        page.get_by_role("slider", name="Steps T").press("Home")
        explorer.steps = 1
        agree()
        for _ in range(5):
            page.get_by_role("slider", name="Steps T").press("ArrowRight")
        explorer.steps = 32
        agree()
        page.get_by_role("radio", name="floats").check()
        explorer.arithmetic = "floats"
        agree()
        page.get_by_role("radio", name="0 %", exact=True).check()
        explorer.ratio = "0 %"
        agree()
        page.get_by_role("combobox", name="Network").select_option("resnet-digits")
        explorer.network = "resnet-digits"
        agree()
        page.get_by_role("radio", name="whole numbers").check()
        explorer.arithmetic = "whole numbers"
        for label, name in (("Add", "add"), ("Multiply", "multiply"), ("Move 64 bits", "memory")):
            slider = page.get_by_role("slider", name=label)
            slider.press("End")
            setattr(explorer, name, float(slider.input_value()))
            agree()
        page.get_by_role("slider", name="Move 64 bits").press("Home")
        explorer.memory = 0
        agree()
        assert "T = 32, b = 6 bits" in say(page)
        (_, before), (turn, after) = explorer.cheapest()
        assert f"The cheapest flips at T = {turn} from {before} to {after}." in say(page)


@in_thread
def test_energy_shows_every_account_and_a_ranking_that_turns(desk):
    explorer = EnergyExplorer(TRACES, steps=16)
    with desk.open(static(explorer)) as page:
        ranking, accounts = (page.locator(".mst-panel").nth(k).locator("svg") for k in (1, 2))
        for key, steps in (("Home", 1), ("End", 256)):
            page.get_by_role("slider", name="Steps T").press(key)
            for name, row in explorer.accounts(steps).items():
                said = accounts.get_attribute("aria-label").split(f"{name}: ")[1].split(". ")[0]
                found = {
                    f: float(v) for f, v in re.findall(r"([a-z][\w, ]*?) (\d+(?:\.\d+)?)", said)
                }
                wanted = {form: value for form, value in row.items() if value is not None}
                assert found == pytest.approx(wanted, rel=0.006), name
            energies = explorer.energies(steps)
            order = sorted(energies, key=energies.get)
            shown = ranking.get_attribute("aria-label")
            assert sorted(order, key=shown.index) == order
            assert f"Cheapest now: {order[0]}," in say(page)
        assert len({form for _, form in explorer.cheapest()}) == 2  # spikes first, numbers then


@in_thread
def test_the_ratio_of_the_backbones_moves_and_is_said(desk):
    with desk.open(static(explorers()["backbones"])) as page:
        said = page.locator(".mst-say")
        expect(said).to_contain_text("resnet-digits, p = 0.75: student 39.0 %")
        page.get_by_role("slider").press("Home")
        expect(said).to_contain_text("p = 0: student 99.0 % ± 0.0 %")
        expect(said).to_contain_text("emitted 100 %, delivered 100 %")
        page.get_by_role("combobox").select_option("vgg-digits")
        expect(said).to_contain_text("vgg-digits, p = 0")


@in_thread
def test_the_backbones_stand_in_one_picture_with_the_transformer(desk):
    with desk.open(static(explorers()["backbones"])) as page:
        curves, spikes = page.locator(".mst-panel svg[role=img]").all()
        assert curves.locator("path:is(.mst-dashed, .mst-dotted)").count() == 2  # VGG, MST
        said = curves.get_attribute("aria-label")
        for name, rows in BACKBONES.items():
            last = f"{100 * rows[-1]['accuracy']:.1f} % at p = 0.75"
            assert last in said.split(f"{name}: ")[1].split(". ")[0]
        assert "At the same p: vgg-digits 69.0 %, mst-digits 91.5 %." in say(page)
        page.get_by_role("combobox").select_option("mst-digits")
        assert "At the same p: resnet-digits 39.0 %, vgg-digits 69.0 %." in say(page)
        for kind in ("thick", "bar"):  # emitted, delivered: a stroke for each layer
            assert spikes.locator(f".mst-{kind}").count() == 3
        assert "first: 42.5 emitted, 12.5 delivered" in spikes.get_attribute("aria-label")
