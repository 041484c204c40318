"""One variable switches the chapters to full scale: what it opens, and the cells that follow it.

The cells are run on stand-ins small enough for every test run, of 56 pixels and six blocks;
`tools/rehearse.py` runs all cells of the four chapters on stand-ins of 224 pixels.
"""

import ast

import matplotlib as mpl
import nbformat
import pytest
import torch
from reading import NOTEBOOKS
from tiny import tiny

from mstlib import CheckpointError, Masking, data
from mstlib.checkpoints.hub import save_model
from mstlib.checkpoints.official import LEVELS, OFFICIAL, to_official, write_standin
from mstlib.cli import main
from mstlib.data import standins
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.scale.task import Task
from mstlib.studies import switch as study
from mstlib.train import calibrate, initialise

pytestmark = [
    pytest.mark.filterwarnings("ignore::mstlib.data.StandInWarning"),
    # Matplotlib asks a tensor for an array in a way that it does not know yet.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

STUDENTS = {"control": None, "attention-50": Masking(attention=0.5)}  # and no mlp-75
VARIABLES = {"MST_DATA": "data", "MST_CHECKPOINTS": "checkpoints", "MST_RUNS": "runs"}


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    """No variable of whoever runs the tests says anything."""
    for name in (*VARIABLES, "MST_SCALE", "MST_IMAGES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """The paper's scale, on folders of the test's own; they are empty so far."""
    monkeypatch.setenv("MST_SCALE", "paper")
    for name, folder in VARIABLES.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


# Which network a name stands for.


def test_a_laptop_has_what_is_shipped():
    assert study.scale() == "laptop"
    for name in ("mst-digits", "mst-digits-mlp-50", "mst-scenes"):
        assert study.stands_for(name) == name
        assert study.has(name)
    assert study.data_of("mst-digits-mlp-50") == "digits"
    assert study.data_of("mst-cued-digits") == "cued-digits"
    assert study.load("mst-digits").config.image_size == 32


def test_the_laptops_images_are_those_of_the_set():
    for name, known in (
        ("mst-digits", "digits"),
        ("mst-scenes-control", "scenes"),
        ("mst-events-digits-summed", "events-digits"),
        ("vgg-digits-conv-25", "digits"),
    ):
        mine, theirs = study.images(name, "train", 3), data.load(known, "train", 3)
        assert all(map(torch.equal, mine, theirs))


@pytest.mark.parametrize("wrong", ["Paper", "", "cluster"])
def test_another_scale_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("MST_SCALE", wrong)
    for ask in (study.load, study.images, study.data_of, study.has):
        with pytest.raises(ValueError, match="MST_SCALE must be one of laptop, paper, not"):
            ask("mst-digits")
    with pytest.raises(ValueError, match="MST_SCALE must be one of"):
        study.expect(True, "nothing")


@pytest.mark.parametrize("scale", study.SCALES)
def test_an_unknown_name_is_refused(monkeypatch, scale):
    monkeypatch.setenv("MST_SCALE", scale)
    for ask in (study.load, study.images, study.data_of, study.has):
        with pytest.raises(ValueError, match="no shipped model 'mst-digits-mlp-60'; available: "):
            ask("mst-digits-mlp-60")


def test_names_at_the_papers_scale(paper):
    assert study.stands_for("mst-digits") == "official:cifar10"
    assert study.stands_for("mst-digits-attention-75") == "official:cifar10-75"
    assert study.stands_for("mst-digits-mlp-50") == str(paper / "runs/cifar10-mlp-50/model")
    assert study.data_of("mst-digits-mlp-50") == "cifar10"
    # Nothing in the paper corresponds to these.
    assert study.stands_for("mst-scenes-control") == "mst-scenes-control"
    assert study.data_of("mst-scenes-control") == "scenes"
    assert study.images("mst-scenes", n=2)[0].shape == (2, 3, 32, 32)


def test_own_runs_come_before_the_authors(paper):
    write_standin("cifar10", paper / "checkpoints", width=3)
    for name, network in (("cifar10", tiny()), ("cifar10-attention-75", tiny())):
        network.trained_masking = Masking(attention=0.75) if "75" in name else None
        save_model(network, paper / "runs" / name / "model")
    for name in ("mst-digits", "mst-digits-attention-75"):
        assert study.has(name)
        assert study.load(name).config == tiny().config
    assert study.load("mst-digits-attention-75").trained_masking == Masking(attention=0.75)


def test_a_stand_in_of_a_checkpoint_is_told_loudly(paper):
    write_standin("cifar10-75", paper / "checkpoints", width=3)
    with pytest.warns(data.StandInWarning, match="cifar10-75 is a stand-in, 3 channels wide inst"):
        model = study.load("mst-digits-attention-75")
    assert model.config.image_size == study.SIZE
    assert model.trained_masking == Masking(attention=0.75)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("mst-digits", "mst train --recipe cifar10 --out RUNS/cifar10`"),
        (
            "mst-digits-control",
            "mst distil --recipe cifar10 --teacher official:cifar10 --out RUNS/cifar10-control`",
        ),
        (
            "mst-digits-attention-75",
            "mst distil --recipe cifar10 --teacher official:cifar10 --mask attention=0.75 --out "
            "RUNS/cifar10-attention-75`",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(paper, capsys, name, command):
    with pytest.raises(CheckpointError) as refusal:
        study.load(name)
    told = str(refusal.value)
    assert told.startswith(f"MST_SCALE=paper has no {name}: ")
    assert command.replace("RUNS", str(paper / "runs")) in told
    assert ("https://github.com/" in told) == (name != "mst-digits-control")
    assert not study.has(name)
    assert told in capsys.readouterr().out


def test_the_command_names_an_own_teacher(paper):
    save_model(tiny(), paper / "runs/cifar10/model")
    with pytest.raises(CheckpointError, match=f"--teacher {paper}/runs/cifar10/model --mask mlp=0"):
        study.load("mst-digits-mlp-50")


def test_the_commands_are_some_that_mst_knows(paper, monkeypatch):
    asked = []
    for command in ("train", "distil"):
        monkeypatch.setattr(f"mstlib.commands.train._{command}", asked.append)
    for name in ("mst-digits", "mst-digits-control", "mst-digits-mlp-50"):
        with pytest.raises(CheckpointError) as refusal:
            study.load(name)
        words = str(refusal.value).split("`")[1].split()
        assert words[0] == "mst"
        main(words[1:])
        assert asked[-1].recipe == "cifar10"
        assert asked[-1].out == paper / "runs" / name.replace("mst-digits", "cifar10")
    assert asked[-1].mask == ["mlp=0.50"]


def test_a_damaged_network_is_not_called_missing(paper):
    place = save_model(tiny(), paper / "runs/cifar10-control/model")
    (place / "model.safetensors").write_bytes(b"no")
    assert study.has("mst-digits-control")
    with pytest.raises(CheckpointError) as refusal:
        study.load("mst-digits-control")
    assert "mst distil" not in str(refusal.value)


# Images.


def test_images_are_those_of_cifar10_at_full_size(paper):
    standins.write("cifar10", paper / "data", train=10, test=20)
    with pytest.warns(data.StandInWarning, match="holds a stand-in for cifar10"):
        images, labels = study.images("mst-digits", n=3)
    small, same = data.load("cifar10", "test", 3)
    assert images.shape == (3, 3, 224, 224)
    assert torch.equal(labels, same)
    # Normalised, and the same pictures in the same order.
    shrunk = torch.nn.functional.adaptive_avg_pool2d(images, 32)
    assert (shrunk - small).abs().mean() < 0.1 < (shrunk - small.roll(1, 0)).abs().mean()
    train, labels = study.images("mst-digits-control", "train")
    assert len(train) == len(labels) == 10
    assert torch.equal(labels, data.load("cifar10", "train")[1])


def test_no_more_images_than_allowed(paper, monkeypatch):
    standins.write("cifar10", paper / "data", train=5, test=20)
    monkeypatch.setenv("MST_IMAGES", "4")
    assert [len(study.images("mst-digits", n=n)[0]) for n in (None, 2, 300)] == [4, 2, 4]
    monkeypatch.setenv("MST_IMAGES", "1000")
    assert [len(study.images("mst-digits", n=n)[0]) for n in (None, 300)] == [20, 20]
    assert len(study.images("mst-scenes", n=5)[0]) == 5
    with pytest.raises(ValueError, match="n must be a whole number of images"):
        study.images("mst-digits", n=0)
    for wrong in ("0", "-3", "few", "2.5", ""):
        monkeypatch.setenv("MST_IMAGES", wrong)
        with pytest.raises(ValueError, match=f"MST_IMAGES must be .* at least 1, not '{wrong}'"):
            study.images("mst-digits")


def test_photographs_have_to_be_downloaded(paper):
    with pytest.raises(data.DataNotFound, match=r"cs\.toronto\.edu"):
        study.images("mst-digits")


@pytest.mark.parametrize(("name", "root"), [("cifar10", "data"), ("digits", None)])
def test_a_task_has_training_images_too(paper, name, root):
    standins.write("cifar10", paper / "data", train=10, test=20)
    task = Task(name, paper / "data", images=3)
    for split in ("train", "test"):
        images, labels = data.load(name, split, 3, root=paper / "data")
        for (x, y), image, label in zip(task.samples(split), images, labels, strict=True):
            assert torch.equal(x, image)
            assert y == label
        if split == "test":
            assert torch.equal(task.samples()[0][0], images[0])


# What a chapter says.


def test_what_does_not_hold_is_an_error_on_the_laptop_only(monkeypatch, capsys):
    study.expect(torch.tensor(1) < 2, "one is less than two")
    with pytest.raises(AssertionError, match="two is less than one"):
        study.expect(torch.tensor(2) < 1, "two is less than one")
    monkeypatch.setenv("MST_SCALE", "paper")
    study.expect(True, "one is less than two")
    assert not capsys.readouterr().out
    study.expect(False, "two is less than one")
    assert capsys.readouterr().out == "(not so with this network: two is less than one)\n"


# The cells that follow the switch, and those that define what they need. Of a cell with a star,
# only its imports, functions and constants: the rest is of other networks, or takes long.

CELLS = {
    "06_full_conversion": """
        ch06-imports ch06-three-lines ch06-one-digit ch06-power-table ch06-by-hand ch06-hand-equal
        ch06-fold-check ch06-chunks-check engine-softmax-check engine-plain ch06-curves
        ch06-curves-figure exit-run exit-figure exit-hard ch06-ledger-by-hand ch06-ledger-equal
        ch06-ledgers ch06-heat-figure ch06-fade-figure ch06-slopes ch06-explorer""",
    "07_random_spike_masking": """
        ch07-imports ch07-mask ch07-raster ch07-fig-2c ch07-share ch07-hash ch07-hash-check
        ch07-places ch07-live* ch07-whole ch07-whole-live ch07-gap-measured ch07-blocks""",
    "09_energy": """
        ch09-imports ch09-trace-code ch09-eq10 ch09-swin-neurons ch09-swin-share ch09-sops-plain
        ch09-sops-figure ch09-headline-code ch09-costs ch09-joules ch09-baseline-figure
        ch09-flip-figure ch09-counters""",
    "10_what_it_looks_at": """
        ch10-imports ch10-need* ch10-look* ch10-first-maps* ch10-agree-runs* ch10-digits-table
        ch10-fig-7-digits""",
}


def write_small(name, folder):
    """Write a checkpoint of the authors' layout, of 56 pixels, two stages and six blocks."""
    config = SwinConfig(
        image_size=56,
        width=12,
        depths=(2, 4),
        heads=(3, 3),
        window=7,
        levels=None,
        mlp_norm=False,
        final_norm="layer",
        residual="norm",
    )
    torch.manual_seed(0)
    model = MaskedSpikingTransformer(config)
    initialise(model)
    calibrate(model, torch.randn(4, 3, 56, 56), LEVELS)
    known = OFFICIAL[name]
    settings = {"DATA": {"IMG_SIZE": 56}, "MODEL": {"MST": {"MASKING_RATIO": known.ratio}}}
    folder.mkdir(exist_ok=True)
    torch.save({"model": to_official(model), "config": settings}, folder / known.file)


@pytest.fixture
def small(paper, monkeypatch):
    """All stand-ins, on two images of 56 pixels, and two images of any other set."""
    monkeypatch.setattr(study, "SIZE", 56)
    monkeypatch.setenv("MST_IMAGES", "2")
    standins.write("cifar10", paper / "data", train=10, test=10)
    with torch.random.fork_rng():
        for name in ("cifar10", "cifar10-75"):
            write_small(name, paper / "checkpoints")
    for name, masking in STUDENTS.items():
        model = study.load("mst-digits")
        model.trained_masking = masking
        save_model(model, paper / "runs" / f"cifar10-{name}" / "model")


def definitions(source):
    """The imports, functions and constants of a cell."""
    kept = ast.Import | ast.ImportFrom | ast.FunctionDef

    def constant(node):
        return isinstance(node, ast.Assign) and all(
            isinstance(n, ast.Name) and n.id.isupper()
            for target in node.targets
            for n in getattr(target, "elts", [target])
        )

    tree = ast.parse(source)
    return ast.Module([n for n in tree.body if isinstance(n, kept) or constant(n)], [])


def run_cells(chapter):
    """Run the cells of a chapter that follow the switch, and return the names that they define."""
    notebook = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}
    names, wanted = {}, CELLS[chapter].split()
    assert {cell.removesuffix("*") for cell in wanted} <= set(sources)
    follow = {cell for cell, source in sources.items() if "study." in source}
    assert follow <= set(wanted), f"not run: {follow - set(wanted)}"
    with torch.random.fork_rng(), mpl.rc_context(), torch.enable_grad():
        mpl.use("agg")
        for cell in wanted:
            whole = ast.parse(sources[cell]) if cell in sources else None
            tree = whole or definitions(sources[cell.removesuffix("*")])
            exec(compile(tree, f"{chapter}, {cell}", "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CELLS)
def test_the_cells_of_a_chapter_follow_the_switch(small, monkeypatch, capsys, chapter):
    monkeypatch.chdir(NOTEBOOKS)
    load = data.load
    if chapter == "06_full_conversion":  # of the scenes, two images are enough here
        monkeypatch.setattr(data, "load", lambda name, split, n: load(name, split, min(n, 2)))
    names = run_cells(chapter)
    images = names["digits" if chapter == "10_what_it_looks_at" else "images"]
    assert images.shape == (2, 3, 56, 56)
    told = capsys.readouterr().out
    if chapter == "07_random_spike_masking":
        assert len(names["one_block"]["mst-digits"]) == 6
        assert set(names["gaps"]) == {"control", "attention-75"}
        assert "MST_SCALE=paper has no mst-digits-mlp-75" in told
    if chapter == "10_what_it_looks_at":
        assert list(names["DIGITS"]) == ["0 %", "control", "50 %", "75 %"]
    else:
        assert "(not so with this network: " in told
