"""The commands of the ledger, run on stand-ins; and what they say where something is missing."""

import json
import re
import shlex

import pytest
import yaml
from places import ROOT

from mstlib.checkpoints.hub import save_model
from mstlib.checkpoints.official import OFFICIAL, load_official, write_standin
from mstlib.cli import main
from mstlib.commands import reproduce as command
from mstlib.data import standins
from mstlib.scale import reproduce as module
from mstlib.scale.reproduce import PARTS, wanted

pytestmark = pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
LEDGER = yaml.safe_load((ROOT / "book" / "claims.yml").read_text())
NEED = {c["id"]: c for c in LEDGER if c["status"] == "needs data we cannot ship"}
FOUND = [found for c in NEED.values() for found in re.findall(r"`(mst [^`]+)`", c["note"])]
# Each once, trainings before what needs their networks.
COMMANDS = sorted(
    dict.fromkeys(FOUND), key=lambda line: line.split()[1] in ("reproduce", "evaluate")
)
SMALL = "model.width=12 model.heads=[3,3,3,3] model.depths=[1,1,1,1] batch.images=4 batch.workers=0"
TRAINED = "--updates 1 --images 2 " + " ".join(
    f"--set {entry}"
    for entry in (
        *SMALL.split(),
        "events.side=16",
        "relu.epochs=1",
        "qcfs.epochs=1",
        "qcfs.images=4",
        "distil.epochs=1",
    )
)
MORE = {
    "train": f"{TRAINED} --start none",
    "distil": TRAINED,
    "reproduce": "--images 2 --steps 4",
    "evaluate": "--images 2 --steps 4",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a stand-in of every set, and thin networks in the place of the authors'."""
    folder = tmp_path_factory.mktemp("rehearsal")
    for name in standins.names():
        few = (8, 4) if name in ("cifar10", "cifar100") else (None, None)
        standins.write(name, folder / "data", *few)
    for name in OFFICIAL:
        write_standin(name, folder / "checkpoints")
    return folder


@pytest.fixture
def there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MST_CHECKPOINTS", str(place / "checkpoints"))
    return place


def mst(line, more=""):
    return main([*shlex.split(line)[1:], *shlex.split(more)])


@pytest.mark.filterwarnings("ignore:this network was trained with")
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_ledger_runs(there, line, capsys):
    kind = line.split()[1]
    # Run by itself, this test has no network that another command would have trained.
    if (kind == "reproduce" and "table2" in line) or kind == "evaluate" or "t3-mst-50" in line:
        needed = next(c for c in COMMANDS if c.split("runs/")[-1] == _run_of(line))
        if not (there / "runs" / _run_of(line) / "model").exists():
            assert mst(needed.replace("DIR", "data"), MORE[needed.split()[1]]) == 0
    assert mst(line.replace("DIR", "data"), MORE[kind]) == 0
    out = capsys.readouterr().out
    if kind == "reproduce":
        assert "missing" not in out
        assert "of a stand-in: means nothing" in out
    elif kind != "evaluate":
        assert (there / "runs" / _run_of(line) / "model" / "config.json").exists()


def _run_of(line):
    """The folder under runs/ that a command needs or makes."""
    if "t3-mst-50" in line:
        return "cifar10-attention-50"
    if "table2" in line:
        short = re.search(r"t2-(\w+)-", line)[1]
        return next(n.data for n in wanted("table2") if n.id.startswith(f"t2-{short}-"))
    return re.search(r"runs/([^/\s]+)", line)[1]


def test_every_number_is_that_of_the_ledger():
    numbers = [n for part in ("table1", "table2", "table3") for n in wanted(part)]
    assert {n.id for n in numbers} == {name for name in NEED if not name.startswith("text-")}
    for number in numbers:
        told = NEED[number.id]["paper"]
        assert f"{number.paper:.2f} %" in told
        if number.paper_power:
            assert f"{number.paper_power}G α W" in told
        if not number.id.startswith("t3"):
            assert ("no steps" if number.steps == 0 else f"T = {number.steps},") in told


def test_the_command_knows_all_parts():
    assert list(PARTS) == list(command.PARTS)


def test_figure_6_masks_one_block_after_another():
    numbers = wanted("fig6")
    assert len(numbers) == 1 + module.BLOCKS
    masked = [sum(map(bool, n.masking.ratios("attention"))) for n in numbers[:-1]]
    assert masked == list(range(module.BLOCKS))
    assert numbers[-1].masking.attention == 0.75


def test_numbers_of_one_network_share_a_simulation(there, tmp_path, monkeypatch):
    simulated = []
    evaluate = module.evaluate

    def counted(model, task, place, *more):
        if not (place / "part-0.jsonl").exists():
            simulated.append(task.steps)
        return evaluate(model, task, place, *more)

    monkeypatch.setattr(module, "evaluate", counted)
    results = module.reproduce(
        wanted("table1", "t1-cifar10-*"), tmp_path, "data", images=2, steps=100
    )
    assert simulated == [100]
    assert [r.steps for r in results] == [64, 100, 100]
    assert [r.difference is None for r in results] == [False, True, True]
    assert all(r.stand_in and r.images == 2 for r in results)


def test_what_is_missing_is_named_and_the_rest_goes_on(there, tmp_path, capsys):
    line = f"mst reproduce table3 --root data --runs {tmp_path} --out {tmp_path / 'out'}"
    assert mst(line, "--images 2 --steps 2") == 1
    out = capsys.readouterr().out
    assert "t3-mst-50: paper 97.25 %, missing: no network in" in out
    assert "Make it by `mst distil --recipe cifar10 --teacher official:cifar10" in out
    rows = json.loads((tmp_path / "out" / "table3.json").read_text())
    assert [row["measured"] is None for row in rows] == [False, True, False]
    table = (tmp_path / "out" / "table3.md").read_text()
    assert len(table.splitlines()) == 5
    assert "stand-in: means nothing" in table
    assert mst(f"{line} --json", "--images 2 --steps 2") == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == rows


def test_a_recipe_that_is_none_does_not_stop_it(there, tmp_path, capsys):
    network = tmp_path / "cifar10-attention-50" / "model"
    save_model(load_official("cifar10"), network, {"recipe": "mine"})
    line = f"mst reproduce table3 --only t3-mst-50 --root data --runs {tmp_path} --out {tmp_path}"
    assert mst(line, "--images 1 --steps 1") == 0
    config = json.loads((network / "config.json").read_text())
    (network / "config.json").write_text(json.dumps(config | {"about": [1]}))
    assert mst(line, "--images 1 --steps 1") == 1
    assert "about should be a dictionary, not a list" in capsys.readouterr().out


def test_without_data_or_checkpoints_it_says_what_to_download(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MST_CHECKPOINTS", raising=False)
    assert mst("mst reproduce table1 --root data") == 1
    out = capsys.readouterr().out
    assert "download https://github.com/bic-L/Masked-Spiking-Transformer/releases" in out
    write_standin("cifar10", tmp_path / "checkpoints")
    assert mst("mst reproduce table1 --only t1-cifar10-* --root data") == 1
    assert "Download cifar-10-python.tar.gz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mst reproduce table1 --only t9-*", "nothing in table1 matches 't9-*'; there are t1-"),
        ("mst reproduce fig5 --only 'fig-7*'", "there are fig-5-cifar10-0"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(line, message, capsys):
    assert mst(line) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="nothing is called 'table4': choose one of table1"):
        wanted("table4")
