"""Chapter 5's table: its targets are met, and it says what the stored results and weights say."""

import html
import re
from statistics import fmean, stdev

import nbformat
import pytest
from places import ROOT

import mstlib
from mstlib import data
from mstlib.checkpoints import manifest
from mstlib.studies import lesions as controls
from mstlib.train import accuracy

NOTEBOOK = ROOT / "notebooks/05_masked_spiking_transformer.ipynb"
BEST = {"mst-digits": 98.0, "mst-scenes": 97.0, "mst-cued-digits": 96.0}
NEEDY = ("mst-scenes", "mst-cued-digits")  # tasks that need attention
SEEDED = [(name, seed) for name in BEST for seed in controls.SEEDS]
BETTER_AS_SPIKES = pytest.mark.xfail(
    strict=True, reason="this one is 0.7 point better in spikes than with QCFS: beyond half a point"
)


def rows(
    model: str, attention: str = "softmax", lesion: str | None = None, patience: int = 1
) -> dict[int, dict]:
    """The stored rows of one control, by seed."""
    want = {"model": model, "attention": attention, "lesion": lesion, "patience": patience}
    return {row["seed"]: row for row in controls.results() if want.items() <= row.items()}


def percent(value: float) -> float:
    return 100 * value


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, list[str]]]:
    """The table as printed: {line: {network: [the shipped one, three seeds]}}."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (c for c in notebook.cells if "alive-table" in c.metadata.get("tags", []))
    (output,) = (o for o in cell.outputs if "text/html" in o.get("data", {}))
    body = output["data"]["text/html"].split("<tbody>")[1]
    lines = {}
    for row in re.findall(r"<tr>(.*?)</tr>", body):
        label, *cells = (html.unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row))
        lines[label] = {name: cells[2 * i : 2 * i + 2] for i, name in enumerate(BEST)}
    return lines


@pytest.mark.parametrize("name", BEST)
def test_every_control_is_stored_for_three_seeds(name):
    for lesion in (None, "scores", "branch"):
        assert rows(name, lesion=lesion).keys() == set(controls.SEEDS), (name, lesion)


@pytest.mark.parametrize(("name", "seed"), SEEDED)
def test_accuracy_survives_the_conversion(name, seed):
    row = rows(name)[seed]
    qcfs, snn = percent(row["qcfs"]), {int(t): percent(a) for t, a in row["snn"].items()}
    assert qcfs >= BEST[name]
    assert snn[64] >= qcfs - 0.5
    assert snn[16] >= qcfs - 3


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(*key, marks=BETTER_AS_SPIKES if key == ("mst-digits", 2) else ())
        for key in SEEDED
    ],
)
def test_spikes_agree_with_qcfs_either_way(name, seed):
    row = rows(name)[seed]
    assert abs(percent(row["snn"]["64"] - row["qcfs"])) <= 0.5 + 1e-9


@pytest.mark.parametrize("name", BEST)
def test_spikes_and_qcfs_agree_in_the_shipped_network_and_over_seeds(name):
    """Within half a point either way: spikes may also do a little better than QCFS."""
    gains = {seed: percent(r["snn"]["64"] - r["qcfs"]) for seed, r in rows(name).items()}
    assert abs(gains[manifest()[name]["seed"]]) <= 0.5
    assert abs(fmean(gains.values())) <= 0.5


@pytest.mark.parametrize(("name", "seed"), [(n, s) for n, s in SEEDED if n in NEEDY])
def test_attention_is_used(name, seed):
    row = rows(name)[seed]
    assert percent(row["qcfs"] - row["branch"]) >= 50
    assert percent(row["qcfs"] - row["scores"]) >= 30
    assert max(row["silent"].values()) <= 0.10, row["silent"]


@pytest.mark.parametrize(
    ("name", "form"),
    [("mst-scenes", "pure"), ("mst-scenes", "softmax"), ("mst-cued-digits", "softmax")],
)
def test_scores_are_needed(name, form):
    """Even a network that is trained without them from the start does not reach the whole one."""
    whole = fmean(percent(r["qcfs"]) for r in rows(name, form).values())
    without = [percent(r["qcfs"]) for r in rows(name, form, "scores").values()]
    assert len(without) == 3
    assert whole - fmean(without) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", BEST)
def test_the_shipped_network_is_one_of_the_stored_ones(name):
    row = rows(name)[manifest()[name]["seed"]]
    images, labels = data.load(name.removeprefix("mst-"))
    here = accuracy(mstlib.load(name), images[: controls.IMAGES], labels[: controls.IMAGES])
    assert here == pytest.approx(row["qcfs"], abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("name", BEST)
def test_the_printed_table_is_up_to_date(name, table):
    model = mstlib.load(name)
    images, labels = data.load(name.removeprefix("mst-"))
    shown = {label: cells[name] for label, cells in table.items()}
    assert int(shown["parameters"][0].replace(",", "")) == sum(
        p.numel() for p in model.parameters()
    )
    assert float(shown["QCFS"][0]) == pytest.approx(
        percent(accuracy(model, images, labels)), abs=0.2
    )
    lesions = {
        "QCFS": [r["qcfs"] for r in rows(name).values()],
        **{
            f"SNN, T = {t}": [r["snn"][str(t)] for r in rows(name).values()]
            for t in (8, 16, 32, 64)
        },
        "branch zeroed": [r["branch"] for r in rows(name).values()],
        "A = 0, bias kept": [r["scores"] for r in rows(name).values()],
        "retrained with A ≡ 0": [r["qcfs"] for r in rows(name, lesion="scores").values()],
        "retrained without attention": [r["qcfs"] for r in rows(name, lesion="branch").values()],
    }
    for label, seeds in lesions.items():
        values = [percent(v) for v in seeds]
        assert shown[label][1] == f"{fmean(values):.1f} ± {stdev(values):.1f}", label


@pytest.mark.parametrize("name", BEST)
def test_the_shipped_network_meets_the_targets_in_print(name, table):
    shown = {label: float(cells[name][0].replace(",", "") or 0) for label, cells in table.items()}
    assert shown["QCFS"] >= BEST[name]
    if name in NEEDY:
        assert shown["QCFS"] - shown["branch zeroed"] >= 50
        assert shown["QCFS"] - shown["A = 0, bias kept"] >= 30
        assert shown["such neurons in the worst layer"] <= 10
