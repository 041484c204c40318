"""Every explorer in a real browser, on pages of their own: with no kernel, and as a module.

How they fit, contrast and name their pictures is tested where they stand, in tests/book.
"""

import datetime

import pytest
from desk import say, static
from explorer_samples import explorers
from inline_sample import MultiplesExplorer
from playwright.sync_api import expect

from mstlib.explorers import NeuronExplorer, QCFSExplorer

VIEWS = list(explorers())
EVERY = pytest.mark.parametrize("view", VIEWS)


@EVERY
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_starts_without_a_kernel(desk, view, scheme):
    with desk.open(static(explorers()[view]), scheme=scheme) as page:
        assert page.locator(".mst-explorer").count() == 1
        assert page.locator(".mst-widget table:not([class])").count() == 0  # the fallback gave way
        assert len(say(page)) > 20
        first = page.locator(".mst-say").element_handle()
        page.evaluate("mstExplorers.start()")  # again: must not start it twice
        assert first.evaluate("e => e.isConnected")


@EVERY
def test_reads_without_javascript(desk, view):
    with desk.open(static(explorers()[view]), java_script_enabled=False) as page:
        assert page.locator(".mst-widget table").first.is_visible()
        assert page.locator(".mst-widget caption").first.inner_text()


@EVERY
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
def test_an_explorer_with_a_script_of_its_own_starts_like_the_others(desk, scheme):
    shown = (NeuronExplorer(), MultiplesExplorer(), MultiplesExplorer(factor=5))
    with desk.open(static(*shown), scheme=scheme) as page:
        lines = page.locator(".mst-say")
        expect(lines).to_have_count(3)
        said = "</script> <!-- <script> are text; 3 × {} is {}"
        assert lines.all_inner_texts()[1:] == [said.format(2, 6), said.format(5, 15)]
        page.get_by_label("Factor").first.press("ArrowRight")
        assert lines.all_inner_texts()[1:] == [said.format(3, 9), said.format(5, 15)]


def test_an_explorer_with_a_script_of_its_own_runs_as_a_module(desk):
    (desk.folder / "multiples.mjs").write_text(MultiplesExplorer()._esm, encoding="utf-8")
    body = """<div id="here"></div><script type="module">
        import view from "./multiples.mjs";
        const model = { get: () => 4, set() {}, save_changes() {}, on() {}, off() {} };
        view.render({ model, el: document.getElementById("here") });
        </script>"""
    with desk.open(body) as page:
        expect(page.locator("#here .mst-say")).to_contain_text("3 × 4 is 12")


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
