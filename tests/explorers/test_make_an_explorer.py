"""Page A3: the explorer that it makes, taken out of the page, computes and works as it says."""

import html
import json
import random
import re

import nbformat
import pytest
import torch
import traitlets
from chromium import AXE
from desk import say, static
from reading import NOTEBOOKS, answer_names, cells, solution

from mstlib.exercises import check, find
from mstlib.explorers.base import STATIC
from mstlib.neurons import integrate_and_fire

NOTEBOOK = "A3_make_an_explorer.ipynb"


@pytest.fixture(scope="module")
def page():
    """The names that the page's cells define, up to the class."""
    names = {}
    for source in cells(NOTEBOOK, "code"):
        exec(compile(source, NOTEBOOK, "exec"), names)
        if "LeakExplorer" in names:
            return names
    raise LookupError("the page does not define LeakExplorer")


@pytest.fixture
def explorer(page):
    return page["LeakExplorer"]()


# ---- from Python ----


def test_without_a_leak_the_neuron_is_the_library_s(page):
    currents = 1.2 * torch.rand(500, generator=torch.Generator().manual_seed(0)).double()
    spikes, potentials = page["leaky"](currents, 1.0, 60)
    theirs = integrate_and_fire(currents.expand(60, -1), 1.0)
    assert torch.equal(spikes, theirs[0])
    torch.testing.assert_close(potentials, theirs[1])


def test_neuron_is_silent_below_what_leaks_and_steady_from_the_threshold_on(page):
    for keep in (0.3, 0.5, 0.9):
        weak = torch.linspace(0, 1, 101, dtype=torch.float64)[:-1] * (1 - keep)
        assert page["leaky"](weak, keep, 500)[0].sum() == 0
        strong = 1 - keep + 0.01
        assert page["leaky"](strong, keep, 500)[0].sum() > 0
        assert page["leaky"](1.0, keep, 500)[0].sum() == 500


def test_settings_are_checked_and_observed(explorer):
    heard = []
    explorer.observe(lambda change: heard.append(change["new"]), names="keep")
    explorer.keep = 0.5
    assert heard == [0.5]
    for name, value in (("keep", -0.1), ("current", 1.3), ("steps", 7), ("steps", 9.5)):
        with pytest.raises(traitlets.TraitError, match=f"^{name} must be a .* not {value}"):
            setattr(explorer, name, value)
    explorer.current = 0.6
    spikes, potentials = explorer.run
    assert spikes.shape == potentials.shape == (64,)
    assert spikes.sum() > 0


def test_page_names_every_part():
    parts = re.search(r"shared\.parts = \{([^}]*)\}", (STATIC / "mst_parts.js").read_text())[1]
    (text,) = (c for c in cells(NOTEBOOK, "markdown") if c.startswith("## The parts"))
    missing = [name for name in re.findall(r"\w+", parts) if f"`{name}`" not in text]
    assert missing == []


def test_stored_output_is_the_explorer_s():
    notebook = nbformat.read(NOTEBOOKS / NOTEBOOK, as_version=4)
    (cell,) = (c for c in notebook.cells if c.get("id") == "a3-explorer")
    (output,) = cell.outputs
    stored = output["data"]["text/html"]
    state = json.loads(html.unescape(re.search('data-state="([^"]*)"', stored)[1]))
    assert state == {"current": 0.3, "keep": 0.9, "steps": 64}
    assert stored.endswith("</script>")


# ---- in a browser ----


def test_view_computes_what_python_computes(desk, page, explorer):
    draw = random.Random(0)
    wanted = [
        {"current": draw.uniform(0, 1.2), "keep": draw.random(), "steps": draw.randint(8, 128)}
        for _ in range(200)
    ]
    # Round numbers meet the threshold exactly; there too both must decide alike.
    wanted += [
        {"current": k / 10, "keep": keep, "steps": 64} for k in range(13) for keep in (1, 0.5, 0)
    ]
    with desk.open(static(explorer)) as opened:
        fired = opened.evaluate("all => all.map(mstExplorers.views.leak.fire)", wanted)
    for settings, spikes in zip(wanted, fired, strict=True):
        assert spikes == page["leaky"](**settings)[0].tolist(), settings
    assert sum(map(sum, fired)) > 1000


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_view_says_the_numbers_and_follows_keys_and_mouse(desk, page, explorer, scheme):
    def expected(**settings):
        mine = page["leaky"](**settings)[0].sum()
        most = page["leaky"](**settings | {"keep": 1})[0].sum()
        return f"fires {mine:.0f} times in 64 steps, without a leak {most:.0f} times"

    with desk.open(static(explorer), scheme=scheme) as opened:
        assert expected(current=0.3, keep=0.9, steps=64) in say(opened)
        keep = opened.get_by_label("Kept from step to step")
        for _ in range(5):
            keep.press("ArrowLeft")
        assert keep.get_attribute("aria-valuetext") == "85 %"
        assert expected(current=0.3, keep=0.85, steps=64) in say(opened)
        assert say(opened).endswith("Below a current of 0.15 it never fires")
        box = keep.bounding_box()
        opened.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
        assert keep.input_value() == "0"
        assert "fires 0 times" in say(opened)
        spikes = opened.locator("svg[role=img]").first.get_attribute("aria-label")
        assert spikes.startswith("Spikes in 64 steps: 0 with your leak, 19 without")


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_view_is_accessible_and_fits(desk, explorer, mode, width):
    with desk.open(static(explorer), mode=mode, width=width) as opened:
        opened.evaluate(AXE.read_text(encoding="utf-8"))
        found = opened.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        assert [v["id"] for v in found["violations"]] == []
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


# ---- the exercise ----


def test_page_has_the_exercise():
    assert list(answer_names(NOTEBOOK)) == ["A3.1"]


def test_hidden_solution_passes():
    result = check("A3.1", solution(NOTEBOOK, "A3.1", torch=torch))
    assert repr(result).startswith("✓ A3.1 ")


def test_each_usual_mistake_gets_its_message():
    exercise = find("A3.1")
    assert len(exercise.mistakes) == 4
    for message, wrong in exercise.mistakes.items():
        result = check("A3.1", wrong)
        assert not result.passed
        assert message in result.message


def test_without_rest_the_exercise_is_the_page_s_neuron(page):
    currents = torch.linspace(0, 1.2, 100, dtype=torch.float64)
    resting = solution(NOTEBOOK, "A3.1", torch=torch)
    assert torch.equal(resting(currents, 0.9, 0, 64), page["leaky"](currents, 0.9, 64)[0])
    ceiling = resting(torch.ones(1, dtype=torch.float64), 1.0, 3, 64).mean()
    assert ceiling == 1 / 4
