"""The five published event sets, on small folders that hold files of their true formats."""

import numpy as np
import pytest
import torch
from event_cases import as_events, some_events
from event_sets import NUMBERS, build, stem

from mstlib import data
from mstlib.data.events import published, write_events
from mstlib.data.events.frames import frames
from mstlib.data.places import DataNotFound

NAMES = list(published.SETS)
# Small folders are sets in part; one test asks for the warning.
pytestmark = pytest.mark.filterwarnings("ignore:.* of the .* recordings of")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with all five sets."""
    place = tmp_path_factory.mktemp("data")
    for name in NAMES:
        build(place, name)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_split_without_loss_or_overlap(root, name):
    known = published.SETS[name]
    parts = {split: data.recordings(name, split, root=root) for split in ("train", "test")}
    seen = [
        (split * (name == "n-cars"), label, int(events["t"][0]))  # these tell a recording
        for split, part in parts.items()
        for events, label in part
    ]
    assert len(seen) == len(set(seen)) == len(list((root / name).rglob(f"*{known.suffix}")))
    for part in parts.values():
        assert part.size == known.size
        assert part.classes == known.classes
        events, label = part[0]
        assert len(events) == label + 2
        assert set(part.labels.tolist()) <= set(range(len(known.classes)))
    assert len(parts["test"]) > 0


def test_cifar10_dvs_tests_on_the_first_hundred_of_each_class(root):
    for split, numbers in (("test", {0, 5, 99}), ("train", {100, 101, 110, 111})):
        part = data.recordings("cifar10-dvs", split, root=root)
        assert {int(events["t"][0]) for events, _ in part} == numbers
        assert len(part) == 10 * len(numbers)


def test_n_cars_has_its_published_split(root):
    for split in ("train", "test"):
        assert len(data.recordings("n-cars", split, root=root)) == 2 * len(NUMBERS)
    assert data.classes("n-cars") == ["background", "cars"]


def test_asl_dvs_has_no_j_and_no_z():
    letters = data.classes("asl-dvs")
    assert len(letters) == 24
    assert letters[8:10] == ["i", "k"]
    assert letters[-1] == "y"


def test_n_caltech101_has_a_hundred_objects_and_a_background():
    names = data.classes("n-caltech101")
    assert len(set(names)) == 101
    assert names == sorted(names)
    assert {"BACKGROUND_Google", "Faces_easy", "yin_yang"} <= set(names)
    assert "Faces" not in names


@pytest.mark.parametrize(("name", "share"), [("n-caltech101", 0.1), ("asl-dvs", 0.2)])
def test_a_declared_split_has_its_share_and_does_not_move(name, share):
    label = published.SETS[name].classes[0]
    sides = [published.split_of(name, ".", label, stem(name, label, k)) for k in range(20_000)]
    assert sides.count("test") / len(sides) == pytest.approx(share, abs=0.01)
    # A recording stays on its side for ever: these were found when the rule was made.
    tests = [number for number, side in enumerate(sides[:40]) if side == "test"]
    known = {"n-caltech101": [6, 9, 21, 23, 31, 33], "asl-dvs": [3, 10, 15, 17, 29, 33, 37]}
    assert tests == known[name]


def test_recordings_come_in_an_order_that_the_seed_decides(root):
    first = data.recordings("cifar10-dvs", root=root)
    again, other = (data.recordings("cifar10-dvs", seed=s, root=root) for s in (0, 1))
    few = data.recordings("cifar10-dvs", n=7, root=root)
    assert first.labels.tolist() == again.labels.tolist()
    assert first.labels.tolist() != other.labels.tolist()
    assert few.labels.tolist() == first.labels.tolist()[:7]
    with pytest.raises(ValueError, match="n must be at most 30"):
        data.recordings("cifar10-dvs", n=31, root=root)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        data.recordings("cifar10-dvs", seed=-1, root=root)
    with pytest.raises(ValueError, match="unknown split 'val'"):
        data.recordings("cifar10-dvs", "val", root=root)
    with pytest.raises(ValueError, match=r"'cifar10dvs': choose one of .*asl-dvs"):
        data.recordings("cifar10dvs", root=root)


def test_files_are_listed_once_and_read_only_when_asked_for(root, monkeypatch):
    walks, reads = [], []
    walk, read = published.os.walk, published.read_events
    monkeypatch.setattr(published.os, "walk", lambda *a: walks.append(a) or walk(*a))
    monkeypatch.setattr(published, "read_events", lambda *a, **k: reads.append(a) or read(*a, **k))
    published._index.cache_clear()
    for split in ("train", "test", "test"):
        part = data.recordings("asl-dvs", split, root=root)
    assert (len(walks), len(reads)) == (1, 0)
    part[3], part[-1]
    assert len(reads) == 2


@pytest.mark.parametrize("name", NAMES)
def test_load_and_dataset_give_stacked_frames(root, name):
    images, labels = data.load(name, "test", n=2, root=root)
    assert images.shape == (2, 16, 32, 32)
    events, label = data.recordings(name, "test", root=root)[1]
    counts = torch.from_numpy(frames(events, 8, published.SETS[name].size, side=32)).flatten(0, 1)
    torch.testing.assert_close(images[1], counts / counts.square().mean().sqrt())
    assert label == labels[1]
    whole = data.dataset(name, "test", root)
    torch.testing.assert_close(whole[1][0], images[1])
    assert whole[1][1] == label
    assert len(whole) == len(data.recordings(name, "test", root=root))
    with pytest.raises(IndexError):
        whole[len(whole)]


def test_load_takes_no_more_of_a_large_set_than_it_says(root, monkeypatch):
    monkeypatch.setattr(data, "_LARGE_DEFAULT", 4)
    assert len(data.load("asl-dvs", root=root)[1]) == 4
    assert len(data.load("asl-dvs", n=5, root=root)[1]) == 5


def test_events_out_of_order_are_sorted_and_those_beyond_the_size_left_out(tmp_path):
    build(tmp_path, "n-cars", numbers=[1])
    wrong = as_events([9, 4, 5], [1, 200, 3], [1, 1, 1], [0, 1, 1])
    path = tmp_path / "n-cars/n-cars_test/test/cars/obj_000001_td.dat"
    path.write_bytes(b"% Version 2\n\x0c\x08" + published_bytes(wrong))
    cars = [e for e, label in data.recordings("n-cars", root=tmp_path) if label == 1]
    assert [e.tolist() for e in cars] == [[(5, 3, 1, 1), (9, 1, 1, 0)]]


def published_bytes(events: np.ndarray) -> bytes:
    words = [(int(e["t"]), int(e["x"]) | int(e["y"]) << 14 | int(e["p"]) << 28) for e in events]
    return np.array(words, "<u4").tobytes()


# What is not there


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_set_says_what_to_download_and_where_to_put_it(tmp_path, name):
    with pytest.raises(DataNotFound) as error:
        data.recordings(name, root=tmp_path)
    message = str(error.value)
    assert f"{name} is not in {tmp_path}" in message
    assert f"in the folder {name} there" in message
    for part in ("https://", "MST_DATA", "root="):
        assert part in message


def test_the_environment_names_the_place(tmp_path, monkeypatch):
    build(tmp_path, "n-cars")
    monkeypatch.setenv("MST_DATA", str(tmp_path))
    assert len(data.recordings("n-cars")) == 2 * len(NUMBERS)


def test_archives_that_are_still_packed_are_named(tmp_path):
    (tmp_path / "cifar10-dvs").mkdir()
    with pytest.raises(DataNotFound, match=r"has no \.aedat file in a folder named after a class"):
        data.recordings("cifar10-dvs", root=tmp_path)
    (tmp_path / "cifar10-dvs" / "bird.zip").write_bytes(b"PK")
    with pytest.raises(DataNotFound, match=r"bird\.zip in cifar10-dvs must be unpacked"):
        data.recordings("cifar10-dvs", root=tmp_path)


def test_a_class_that_is_missing_is_named_and_no_label_shifts(tmp_path):
    build(tmp_path, "cifar10-dvs", skip=("bird", "ship"))
    with pytest.raises(DataNotFound, match="there is no recording of bird, ship"):
        data.recordings("cifar10-dvs", root=tmp_path)
    known = published.SETS["cifar10-dvs"]
    for label in ("bird", "ship"):  # the download goes on
        folder = tmp_path / "cifar10-dvs" / label
        folder.mkdir()
        events = some_events(known.format, 3)
        write_events(folder / f"cifar10_{label}_0.aedat", events, known.format)
    part = data.recordings("cifar10-dvs", root=tmp_path)
    assert sorted(set(part.labels.tolist())) == list(range(10))


@pytest.mark.filterwarnings("default")
def test_a_set_in_part_is_used_with_a_warning(tmp_path):
    count = build(tmp_path, "n-cars")
    with pytest.warns(UserWarning, match=f"holds {count} of the 24,029 recordings of n-cars"):
        data.recordings("n-cars", root=tmp_path)


def test_what_else_lies_about_is_no_recording(tmp_path):
    count = build(tmp_path, "cifar10-dvs", numbers=[1])
    folder = tmp_path / "cifar10-dvs" / "cat"
    for name in ("cifar10_cat_7.aedat.part", "._cifar10_cat_1.aedat", "notes.aedat", "a.txt"):
        (folder / name).write_bytes(b"no events")
    (tmp_path / "cifar10-dvs" / "unicorn").mkdir()
    write_events(
        tmp_path / "cifar10-dvs/unicorn/cifar10_unicorn_1.aedat", some_events("dat", 0), "aedat2"
    )
    assert len(data.recordings("cifar10-dvs", root=tmp_path)) == count


def test_a_recording_that_is_cut_off_is_named_when_it_is_read(tmp_path):
    build(tmp_path, "cifar10-dvs", numbers=[1])
    path = tmp_path / "cifar10-dvs/cat/cifar10_cat_1.aedat"
    path.write_bytes(path.read_bytes()[:-3])
    part = data.recordings("cifar10-dvs", root=tmp_path)
    row = part.labels.tolist().index(3)
    with pytest.raises(data.EventFileError, match=r"cifar10_cat_1\.aedat ends inside an event"):
        part[row]
    assert len(part[row - 1][0])
