"""Stand-ins: read by the same code as the published sets, and never taken for them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mstlib import data
from mstlib.cli import main
from mstlib.data import places, standins
from mstlib.data.events.frames import frames

told = pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
EVENTS = [name for name in standins.names() if name not in places.FOLDERS]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a stand-in of every set."""
    place = tmp_path_factory.mktemp("data")
    for name in standins.names():
        counts = ["--train", "60", "--test", "20"] if name in ("cifar10", "cifar100") else []
        assert main(["standin", name, "--root", str(place), *counts]) == 0
    return place


@pytest.mark.parametrize("name", standins.names())
def test_whoever_reads_one_is_told(root, name):
    assert standins.is_standin(name, root)
    with pytest.warns(data.StandInWarning, match=f"a stand-in for {name}: .* means nothing"):
        data.dataset(name, "test", root)


@told
@pytest.mark.parametrize("name", standins.names())
def test_both_splits_are_there_with_every_class_in_its_place(root, name):
    kinds = len(data.classes(name))
    for split, count in (("train", 60), ("test", 20)):
        source = data.dataset(name, split, root)
        if not name.startswith("cifar1") or name.endswith("dvs"):
            count = kinds * (2 if split == "train" else 1)
        assert len(source) == count
        image, label = source[len(source) // 2]
        assert image.isfinite().all()
        assert 0 <= label < kinds
    images, labels = data.load(name, "test", 2, root=root)
    assert len(images) == len(labels) == 2


@told
def test_there_is_something_to_learn(root):
    images, labels = data.load("cifar10", "train", root=root)
    ink = data.denormalise("cifar10", images).amax(1) > 0.4
    grey = ink.float().flatten(1)
    centres = torch.stack([grey[labels == c].mean(0) for c in range(10) if (labels == c).any()])
    nearest = torch.cdist(grey, centres).argmin(1)
    present = [c for c in range(10) if (labels == c).any()]
    assert (torch.tensor(present)[nearest] == labels).float().mean() > 0.6
    recordings = data.recordings("cifar10-dvs", "test", root=root)
    spots = np.array([[events["x"].mean(), events["y"].mean()] for events, _ in recordings])
    assert len(np.unique((spots // 32).astype(int), axis=0)) == 10  # a cell of its own for each


@told
def test_another_seed_shows_something_else(root, tmp_path):
    standins.write("cifar100", tmp_path / "same", 60, 20)
    standins.write("cifar100", tmp_path / "other", 60, 20, seed=1)
    one, same, other = (
        data.load("cifar100", "test", root=place)[0]
        for place in (root, tmp_path / "same", tmp_path / "other")
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@told
@pytest.mark.parametrize("name", EVENTS)
def test_events_lie_on_the_sensor(root, name):
    recordings = data.recordings(name, "train", root=root)
    events, _ = recordings[0]
    assert len(events) == 400
    assert frames(events, 8, recordings.size).sum() == 400


class Trap:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@told
@pytest.mark.parametrize("file", ["test_batch", "data_batch_2", "batches.meta"])
def test_a_marker_opens_no_door(root, tmp_path, file):
    shutil.copytree(root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    sprung = tmp_path / "sprung"
    trap = pickle.dumps({"data": Trap(sprung)}, protocol=2)
    pickle.loads(trap)
    assert sprung.exists()  # the trap works …
    sprung.unlink()
    (tmp_path / "cifar-10-batches-py" / file).write_bytes(trap)
    with pytest.raises(
        ValueError, match=f"{file} holds more than plain data, or is damaged: it asks for "
    ):
        data.load("cifar10", root=tmp_path)
    assert not sprung.exists()  # … and was not stepped on


@told
def test_a_damaged_one_is_refused(root, tmp_path):
    shutil.copytree(root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"test_batch holds more than plain data, or is damaged"):
        data.load("cifar10", root=tmp_path)


def test_without_the_marker_it_is_refused_as_ever(root, tmp_path):
    shutil.copytree(root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / standins.MARKER).unlink()
    with pytest.raises(ValueError, match="data_batch_1 is not the published file"):
        data.load("cifar10", root=tmp_path)
    assert not standins.is_standin("cifar10", tmp_path)
    assert not standins.is_standin("digits", tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("standin digits", "no stand-in for 'digits': choose one of cifar10"),
        ("standin cifar10", "is there already: it may hold the published cifar10"),
        ("standin cifar100 --train 0", "at least 1; got 0"),
    ],
)
def test_it_never_overwrites(tmp_path, capsys, words, message):
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert main([*words.split(), "--root", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
