"""The explorers in JupyterLab: a browser moves them, a real kernel reads and drives them.

One JupyterLab, with settings of its own, serves a notebook whose cells show an explorer of each
kind, and the page that makes one. The browser is the system's Chromium, cut off from the network.
"""

import ast
import functools
import importlib.util
import operator
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from explorer_samples import explorers
from places import HELPERS, NOTEBOOKS
from playwright.sync_api import Browser, Locator, Page, expect

MAKES_ONE = NOTEBOOKS / "A3_make_an_explorer.ipynb"
VIEWS = list(explorers())
SETTINGS = {
    # Cells out of sight are drawn as well, and no news or updates are looked for.
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
PATIENCE = 30_000  # milliseconds: what takes one second may take many on a busy machine
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed"
)
EVERY = pytest.mark.parametrize("view", VIEWS)
SOME = pytest.mark.parametrize(
    ("view", "setting", "value"),
    [
        ("neuron", "current", 0.9),
        ("qcfs", "levels", 3),
        ("product", "rate_q", 0.7),
        ("conversion", "steps", 7),
        ("energy", "memory", 40),
        ("cost", "devices", 5),
    ],
)


@dataclass
class Lab:
    """A notebook open in JupyterLab, all its cells run; `faults` is what went wrong so far."""

    page: Page
    faults: list[str]

    def explorer(self, view: str) -> Locator:
        """The explorer as the reader sees it, scrolled into sight."""
        there = self.page.locator(".jp-OutputArea-output .mst-explorer").nth(VIEWS.index(view))
        there.scroll_into_view_if_needed()
        return there

    def run(self, code: str) -> str:
        """Put `code` into the notebook's last cell, run it, and return what it printed."""
        outputs = self.page.evaluate(
            """async (code) => {
                const app = window.jupyterapp, cells = app.shell.currentWidget.content;
                cells.activeCellIndex = cells.widgets.length - 1;
                cells.activeCell.model.sharedModel.setSource(code);
                await app.commands.execute("notebook:run-cell");
                return cells.activeCell.model.outputs.toJSON();
            }""",
            code,
        )
        for output in outputs:
            if output["output_type"] == "error":
                raise RuntimeError(output["evalue"])
        return "".join("".join(output.get("text", "")) for output in outputs)

    def value(self, view: str, setting: str) -> object:
        """What a later cell prints for a setting of an explorer."""
        return ast.literal_eval(self.run(f"print(repr(shown[{view!r}].{setting}))"))

    def value_once(self, view: str, setting: str, wanted: Callable[[object], bool]) -> object:
        """The same once it is as wanted, or in the end: messages pass through two processes."""
        end = time.monotonic() + PATIENCE / 1000
        while not wanted(found := self.value(view, setting)) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def active_cell(self) -> int:
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
        )


def say(explorer: Locator) -> str:
    return explorer.locator(".mst-say").inner_text()


def drawn(explorer: Locator) -> str:
    """All of the explorer but its controls."""
    return explorer.evaluate("e => [...e.children].slice(1).map((c) => c.outerHTML).join('')")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_notebooks(folder: Path) -> None:
    """One cell that makes the explorers and one for each that shows it; page A3. Both end empty."""
    start = (
        f"import sys\nsys.path.insert(0, {str(HELPERS)!r})\n"
        "from explorer_samples import explorers\nshown = explorers()"
    )
    cells = [start, *(f"shown[{view!r}]" for view in VIEWS)]
    every = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    every.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    makes_one = nbformat.read(MAKES_ONE, as_version=4)
    for notebook, name in ((every, "explorers.ipynb"), (makes_one, MAKES_ONE.name)):
        notebook.cells.append(nbformat.v4.new_code_cell(""))
        nbformat.write(notebook, folder / name)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab of our own."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "work"
    work.mkdir()
    write_notebooks(work)
    for name, text in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    folders = {
        "HOME": "home",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    environment = os.environ | {name: str(home / folder) for name, folder in folders.items()}
    port, log = free_port(), home / "log.txt"
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={work}",
        "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with log.open("w") as lines:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdout=lines, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        for _ in range(300):
            assert process.poll() is None, log.read_text()
            try:
                with ask(f"{address}/api/status", timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        else:
            pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")
        yield address
    finally:
        process.terminate()  # ends its kernels too
        process.wait(30)


@pytest.fixture(scope="module")
def lab(browser, server) -> Iterator[Lab]:
    with opened(browser, server, "explorers.ipynb", len(VIEWS)) as lab:
        yield lab


@pytest.fixture(scope="module")
def page_a3(browser, server) -> Iterator[Lab]:
    with opened(browser, server, MAKES_ONE.name, 1) as lab:
        yield lab


@contextmanager
def opened(browser: Browser, address: str, name: str, explorers_in_it: int) -> Iterator[Lab]:
    """A notebook, once all its cells have run."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="no-preference"
    )
    page, faults = context.new_page(), []
    page.set_default_timeout(2 * PATIENCE)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    local = (address, address.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(local) else faults.append(r.url))
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_function(
        """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel
            ?.status === "idle" """
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    expect(page.locator(".mst-say")).to_have_count(explorers_in_it, timeout=2 * PATIENCE)
    yield Lab(page, faults)
    context.close()


@EVERY
def test_draws_from_the_kernel(lab, view):
    explorer = lab.explorer(view)
    assert len(say(explorer)) > 20
    assert explorer.bounding_box()["height"] > 100
    assert explorer.locator("table:not([class])").count() == 0  # the live view, not the fallback
    assert lab.faults == []


@EVERY
def test_arrow_keys_reach_the_explorer_and_the_kernel(lab, view):
    explorer = lab.explorer(view)
    slider = explorer.locator("input[type=range]").first
    if slider.count():
        setting = slider.get_attribute("data-setting")
        at_start = slider.evaluate("e => Number(e.value) === Number(e.min)")
        keys = ["ArrowRight", "ArrowDown"] if at_start else ["ArrowLeft", "ArrowUp"]
    else:  # the walk: its boxes are buttons, and the arrows go from one to the next
        slider, setting, keys = explorer.locator("[aria-current]"), "selected", ["ArrowRight"]
    for key in keys:
        known, picture = lab.value(view, setting), drawn(explorer)
        slider.focus()  # to ask the kernel moves on to another cell
        cell = lab.active_cell()
        lab.page.keyboard.press(key)
        assert drawn(explorer) != picture
        assert lab.active_cell() == cell  # JupyterLab did not take the key for itself
        assert lab.value_once(view, setting, functools.partial(operator.ne, known)) != known
    assert lab.faults == []


def test_a_later_cell_prints_what_the_keys_set(lab):
    lab.run("shown['neuron'].current = 0.3")
    slider = lab.explorer("neuron").locator("[data-setting=current]")
    expect(slider).to_have_value("0.3")
    slider.focus()
    for _ in range(3):
        lab.page.keyboard.press("ArrowRight")
    assert lab.value_once("neuron", "current", lambda v: v == 0.33) == 0.33


@SOME
def test_the_view_follows_the_kernel(lab, view, setting, value):
    explorer = lab.explorer(view)
    slider = explorer.locator(f"[data-setting={setting}]")
    there, text = slider.input_value(), say(explorer)
    assert lab.value(view, setting) != value
    lab.run(f"shown[{view!r}].{setting} = {value}")
    expect(slider).not_to_have_value(there, timeout=PATIENCE)
    expect(explorer.locator(".mst-say")).not_to_have_text(text, timeout=PATIENCE)
    with pytest.raises(RuntimeError, match=f"{setting} must be a"):
        lab.run(f"shown[{view!r}].{setting} = -100")
    assert lab.value(view, setting) == value
    assert lab.faults == []


@SOME
def test_the_kernel_hears_the_mouse(lab, view, setting, value):
    lab.run(
        f"heard = []\nshown[{view!r}].observe(lambda change: heard.append(change.new), {setting!r})"
    )
    slider = lab.explorer(view).locator(f"[data-setting={setting}]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    lab.page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    lab.page.mouse.down()
    for share in (0.45, 0.35, 0.25):
        lab.page.mouse.move(box["x"] + share * box["width"], middle)
    lab.page.mouse.up()
    here = slider.locator("xpath=preceding-sibling::output").inner_text()
    here = float(re.match(r"[\d.]+", here)[0])
    assert lab.value_once(view, setting, lambda v: v == here) == here
    heard = ast.literal_eval(lab.run("print(heard)"))
    assert heard[-1] == here != value
    assert lab.faults == []


def test_the_network_answers_from_pytorch(lab):
    explorer = lab.explorer("network")
    line = explorer.locator(".mst-say")
    expect(line).to_contain_text("Answer: ", timeout=PATIENCE)
    before, ratio = say(explorer), lab.value("network", "ratio")
    slider = explorer.locator("[data-setting=ratio]")
    slider.focus()
    lab.page.keyboard.press("ArrowRight")
    moved = lab.value_once("network", "ratio", lambda v: v > ratio)
    assert moved > ratio
    expect(line).to_contain_text("Answer: ", timeout=PATIENCE)  # the kernel has answered
    assert say(explorer) != before

    lab.run("network = shown['network']\nrun = network.run")
    assert lab.run("print(type(run).__module__, type(run).__name__)") == "mstlib.simulate Run\n"
    assert lab.run("print(run.masking.attention == network.ratio, run.seed)") == "True 0\n"
    same = "print(network.answer['masked']['logits'] == run.logits[:, 0].tolist())"
    assert lab.run(same) == "True\n"
    # What the reader sees is the mean of the run's logits.
    best = ast.literal_eval(lab.run("print(run.logits[:, 0].mean(0).topk(2).values.tolist())"))
    shown = explorer.get_by_role("img", name=re.compile("Mean logits of")).get_attribute(
        "aria-label"
    )
    numbers = re.search(r"After step \d+: \S+ ([−\d.]+), then \S+ ([−\d.]+)\.$", shown).groups()
    assert [float(n.replace("−", "-")) for n in numbers] == pytest.approx(best, abs=0.005)
    assert lab.faults == []


def test_the_explorer_that_page_a3_makes(page_a3):
    explorer = page_a3.page.locator(".mst-explorer")
    explorer.scroll_into_view_if_needed()
    # The page's own cells have moved it: its view follows.
    assert "with 50 % kept, the neuron fires 0 times in 64 steps" in say(explorer)
    slider = explorer.get_by_label("Kept from step to step")
    slider.focus()
    page_a3.page.keyboard.press("ArrowUp")
    expect(slider).to_have_value("0.51")
    assert page_a3.run("print(explorer.keep, heard[-1])") == "0.51 (0.5, 0.51)\n"
    page_a3.run("explorer.keep = 1")
    spikes = int(page_a3.run("print(int(explorer.run[0].sum()))"))
    expect(explorer.locator(".mst-say")).to_contain_text(f"without a leak {spikes} times")
    assert page_a3.faults == []
