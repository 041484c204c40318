"""The explorers from Python: settings, errors, and the form a page without a kernel gets."""

import html
import json
import re

import numpy as np
import pytest
import torch
from explorer_samples import CAUSES, CURVES, LEDGER, WALK, explorers
from traitlets import TraitError

from mstlib.explorers import (
    ArchitectureExplorer,
    ConversionExplorer,
    NeuronExplorer,
    QCFSExplorer,
)
from mstlib.explorers.base import STATIC, Explorer

EVERY = pytest.mark.parametrize("view", sorted(explorers()))


def state_of(text: str) -> dict:
    return json.loads(html.unescape(re.search('data-state="([^"]*)"', text)[1]))


@EVERY
def test_output_is_the_same_at_every_run(view):
    first, second = explorers()[view], explorers()[view]
    assert repr(first) == repr(second)
    assert "0x" not in repr(first)
    assert first.to_html() == second.to_html()


@EVERY
def test_output_carries_widget_and_html(view):
    data, _ = explorers()[view]._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/html"].startswith(f'<div class="mst-widget" data-widget="{view}" data-state=')


@EVERY
def test_page_gets_every_setting(view):
    explorer = explorers()[view]
    state = state_of(explorer.to_html())
    assert state == {name: getattr(explorer, name) for name in explorer._settings}
    # All of ours are synced, so that a kernel can read and drive them.
    ours = set(type(explorer).class_own_traits()) | set(explorer._settings)
    inherited = set(Explorer.class_traits()) | {"_esm", "_css", "_anywidget_id"}
    results = {"answer"}  # computed from the settings, where there is a kernel or an engine
    assert ours - inherited - results <= set(state) <= set(explorer.traits(sync=True))


@EVERY
def test_fallback_reads_without_javascript(view):
    fallback = explorers()[view].fallback()
    assert fallback.count("<table>") == fallback.count("</table>") >= 1
    assert "<caption>" in fallback
    assert '<th scope="row">' in fallback


@EVERY
def test_script_is_a_module_that_needs_nothing_else(view):
    script = explorers()[view]._esm
    assert script.endswith(f"export default globalThis.mstExplorers.views.{view};\n")
    addresses = set(re.findall(r"https?://[^\s\"'`]+", script + explorers()[view]._css))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, never fetched
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b\s*\(", script)


def test_every_script_belongs_to_an_explorer_or_to_all():
    views, shared = set(explorers()), {"parts", "host", "runs", "canvas", "engine", "runner"}
    scripts = {path.stem for path in STATIC.glob("*.js")}
    assert scripts == views | {f"mst_{name}" for name in shared}


def test_a_kernel_drives_and_observes():
    explorer, seen = NeuronExplorer(current=0.3), []
    explorer.observe(lambda change: seen.append(change["new"]), names="threshold")
    explorer.threshold = 2
    assert seen == [2.0]
    assert state_of(explorer.to_html())["threshold"] == 2.0


def test_numbers_of_other_libraries_are_taken():
    explorer = NeuronExplorer(
        current=np.float32(0.5), threshold=torch.tensor(1.5), steps=np.int64(7)
    )
    assert (explorer.current, explorer.threshold, explorer.steps) == (0.5, 1.5, 7)
    assert "steps=7" in repr(explorer)


def test_neuron_fallback_counts_spikes():
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", NeuronExplorer(current=0.3).fallback())
    row = cells[cells.index("0.3") :][:5]
    # v = 0.5 + 0.3·40 = 12.5 θ: twelve; from zero each spike takes four steps: the first after two
    assert row == ["0.3", "12", "0.300", "10", "0.250"]


def test_qcfs_fallback_agrees_when_it_must():
    def gaps(text):
        return [float(row.split("<td>")[3].split("<")[0]) for row in text.split("<tr>")[2:]]

    assert gaps(QCFSExplorer(levels=8, steps=8).fallback()) == [0.0] * 7
    assert min(gaps(QCFSExplorer(levels=8, steps=8, start=0).fallback())) < -0.1


def test_text_in_a_walk_is_escaped():
    layer = {
        "name": "a<b>",
        "kind": "head",
        "shape": [2],
        "signal": "real",
        "note": "\"x\" & '</div>'",
    }
    text = ArchitectureExplorer([layer]).to_html()
    assert "<b>" not in text
    assert text.count("</div>") == 1
    assert state_of(text)["walk"] == [layer]


def test_conversion_rounds_what_differs_between_machines():
    explorer = ConversionExplorer(CURVES, LEDGER)
    assert explorer.ledger["mst-scenes"]["error"][5][2] == 0.000123
    assert explorer.curves["mst-digits"]["accuracy"][0] == 0.0984
    assert explorer.network == "mst-digits"


def curve(**changes):
    return {"net": {"steps": [1, 2], "accuracy": [0.1, 0.2], "qcfs": 0.3} | changes}


def account(**changes):
    return {"net": {"steps": [8, 16], "causes": CAUSES[:1], "error": [[0.1, 0.2]]} | changes}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NeuronExplorer(current=3), r"current must be a number from -0\.2 to 1\.5, not 3"),
        (lambda: NeuronExplorer(current=float("nan")), "current must be .* not nan"),
        (lambda: NeuronExplorer(threshold=0), r"threshold must be a number from 0\.5 to 2, not 0"),
        (lambda: NeuronExplorer(threshold="high"), "threshold must be .* not 'high'"),
        (lambda: NeuronExplorer(reset="hard"), r"'reset'.*\['soft', 'zero'\].*'hard'"),
        (lambda: NeuronExplorer(steps=0), "steps must be a whole number from 1 to 128, not 0"),
        (lambda: NeuronExplorer(steps=2.5), "steps must be a whole number .* not 2.5"),
        (lambda: QCFSExplorer(levels=0), "levels must be a whole number from 1 to 32, not 0"),
        (lambda: QCFSExplorer(start=-1), "start must be a number from 0 to 1, not -1"),
        (lambda: ArchitectureExplorer([]), "at least one layer"),
        (lambda: ArchitectureExplorer(["norm"]), "layer 0 of the walk must be a mapping"),
        (lambda: ArchitectureExplorer([{"name": "a"}]), r"layer 0 .* lacks \['kind', 'shape'"),
        (lambda: ArchitectureExplorer([WALK[0], WALK[1] | {"colour": "red"}]), "layer 1 .*colour"),
        (lambda: ArchitectureExplorer([WALK[0] | {"kind": "lstm"}]), "kind of layer 0 .*'lstm'"),
        (lambda: ArchitectureExplorer([WALK[0] | {"signal": "ternary"}]), "signal .*'ternary'"),
        (lambda: ArchitectureExplorer([WALK[0] | {"shape": [0]}]), r"shape of layer 0 .*\[0\]"),
        (lambda: ArchitectureExplorer([WALK[0] | {"rate": 1.2}]), "rate of layer 0 .* not 1.2"),
        (lambda: ArchitectureExplorer(WALK, selected=99), "selected must be 0 to 31, not 99"),
        (lambda: ConversionExplorer({}, {}), "at least one network"),
        (lambda: ConversionExplorer(curve(), {}, network="other"), r"among \['net'\], not 'other'"),
        (lambda: ConversionExplorer(curve(), {"other": {}}), r"ledger .*\['net'\], not 'other'"),
        (lambda: ConversionExplorer(curve(steps=[2, 1]), {}), "steps of the curve of 'net'"),
        (lambda: ConversionExplorer(curve(accuracy=[0.1]), {}), "2 steps, 1 accuracies"),
        (lambda: ConversionExplorer(curve(qcfs=98.0), {}), "must be 0 to 1, not 98"),
        (lambda: ConversionExplorer({"net": {}}, {}), "curve of 'net' must have"),
        (lambda: ConversionExplorer(curve(), account(error=[[0.1]])), r"1 rows .*of 2 \(one a"),
        (lambda: ConversionExplorer(curve(), account(error=[[0.1, -1.0]])), ">= 0, not -1"),
        (lambda: ConversionExplorer(curve(), account(), steps=0), "steps must be a whole number"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, message):
    with pytest.raises(TraitError, match=message):
        build()
