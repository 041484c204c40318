"""The sets that need no download: digits, scenes and cued digits."""

import hashlib
import importlib
import os
import sys
import time

import numpy as np
import pytest
import torch
from interrupted import child

from mstlib import data
from mstlib.data import board, cued_digits, digits, scenes

HERE = ["digits", "scenes", "cued-digits"]
BOARDS = ["scenes", "cued-digits"]


def fingerprint(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def as_cells(image: np.ndarray) -> np.ndarray:
    """(32, 32, ...) to (16, 8, 8, ...), cells counted along the rows."""
    rest = image.shape[2:]
    return image.reshape(4, 8, 4, 8, *rest).swapaxes(1, 2).reshape(16, 8, 8, *rest)


def without_objects(kind, split: str, n: int, seed: int) -> board.Boards:
    """The same boards with nothing drawn in the objects' cells."""

    def nothing(rng, objects):
        return np.zeros((*objects.shape, 8, 8))

    return board.draw(nothing, 10, kind.TAG, split, n, seed)


def find_cue(cells: np.ndarray) -> tuple[int, str]:
    """The cell with a white outline, and the name of the colour it frames."""
    white = (cells == 255).all(-1).sum((1, 2))
    (cell,) = np.flatnonzero(white == 20)
    fill = {tuple(pixel) for pixel in cells[cell, 2:6, 2:6].reshape(-1, 3).tolist()}
    (name,) = [name for name, rgb in board.COLOURS.items() if {rgb} == fill]
    return cell, name


def nearest_colour(pixel: np.ndarray) -> str:
    """The named colour whose hue is nearest, whatever the brightness."""
    palette = np.array(list(board.COLOURS.values()), dtype=float)
    palette /= palette.max(1, keepdims=True)
    distance = np.abs(palette - pixel / pixel.max()).sum(1)
    return list(board.COLOURS)[distance.argmin()]


# What `load` promises for every set


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("split", ["train", "test"])
def test_load_gives_normalised_float_images_and_int_labels(name, split):
    images, labels = data.load(name, split)
    channels = 1 if name == "digits" else 3
    count = {"digits": {"train": 1250, "test": 547}}.get(name, {"train": 8000, "test": 2000})
    assert images.shape == (count[split], channels, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert labels.shape == (count[split],)
    assert labels.dtype == torch.int64
    assert images.mean((0, 2, 3)).abs().max() < 0.02
    assert (images.std((0, 2, 3)) - 1).abs().max() < 0.02


@pytest.mark.parametrize("name", HERE)
def test_equal_seeds_give_equal_images_and_other_seeds_others(name):
    first, again = data.load(name, n=50, seed=5), data.load(name, n=50, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], data.load(name, n=50, seed=6)[0])
    assert torch.equal(data.load(name, n=50)[0], data.load(name, n=50, seed=0)[0])


@pytest.mark.parametrize("name", HERE)
def test_fewer_images_are_the_first_of_more(name):
    fewer, more = data.load(name, "train", n=499), data.load(name, "train", n=501)
    assert torch.equal(fewer[0], more[0][:499])
    assert torch.equal(fewer[1], more[1][:499])


@pytest.mark.parametrize("name", HERE)
def test_no_training_image_is_a_test_image(name):
    train = {image.numpy().tobytes() for image in data.load(name, "train")[0]}
    test = {image.numpy().tobytes() for image in data.load(name, "test")[0]}
    assert not train & test


@pytest.mark.parametrize("name", BOARDS)
def test_another_seed_of_the_training_split_meets_no_test_image(name):
    seen = {
        image.tobytes() for seed in (0, 1) for image in data.boards(name, "train", 500, seed).images
    }
    assert len(seen) == 1000
    assert not seen & {image.tobytes() for image in data.boards(name, "test", 500).images}


@pytest.mark.parametrize(
    ("name", "expected"), [("scenes", "3cf444f3199d67f5"), ("cued-digits", "15a7e64d96bdb40e")]
)
def test_every_machine_draws_the_same_boards(name, expected):
    assert fingerprint(data.boards(name, "train", 64, seed=3).images) == expected


def test_every_machine_splits_the_digits_alike():
    assert fingerprint(digits.split_indices("test").astype("<i8")) == "60cc55f4fc4692fa"
    assert data.load("digits", n=10)[1].tolist() == [6, 9, 5, 0, 6, 9, 1, 7, 6, 3]


@pytest.mark.parametrize("name", HERE)
def test_denormalise_gives_the_pixels_back(name):
    images, _ = data.load(name, n=20)
    pixels = data.denormalise(name, images)
    if name == "digits":
        assert pixels.min() == 0
        assert pixels.max() <= 1
    else:
        drawn = data.boards(name, n=20).images.transpose(0, 3, 1, 2)
        assert np.array_equal((pixels * 255).round().byte().numpy(), drawn)
    mean, std = data.normalisation(name)
    again = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(again, images, atol=1e-5, rtol=0)
    torch.testing.assert_close(data.denormalise(name, images[0]), pixels[0])


@pytest.mark.parametrize("name", HERE)
def test_dataset_holds_what_load_gives(name):
    images, labels = data.load(name)
    dataset = data.dataset(name)
    assert len(dataset) == len(labels)
    assert torch.equal(dataset[7][0], images[7])
    assert dataset[7][1] == labels[7]


def test_names_and_classes():
    simulated = ["events-digits", "events-motion"]
    published = ["cifar10-dvs", "n-caltech101", "n-cars", "action-recognition", "asl-dvs"]
    assert data.names() == [*HERE, "cifar10", "cifar100", "imagenet", *simulated, *published]
    assert data.classes("digits") == data.classes("cued-digits") == list("0123456789")
    assert data.classes("scenes")[2] == "ring"
    for name in HERE:
        assert len(data.classes(name)) == 10


# Digits


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    for split in ("train", "test"):
        rows = digits.split_indices(split)
        images, labels = digits.originals(split)
        assert np.array_equal(images, bunch.images[rows])
        assert np.array_equal(labels, bunch.target[rows])


def test_the_digit_split_is_stratified_and_complete():
    train, test = digits.split_indices("train"), digits.split_indices("test")
    assert sorted([*train, *test]) == list(range(1797))
    assert (np.bincount(digits.originals("train")[1]) == 125).all()
    assert np.bincount(digits.originals("test")[1]).min() >= 49


def test_enlarged_digits_keep_their_mean_ink_and_their_label():
    images, labels = digits.enlarged("test")
    small, small_labels = digits.originals("test")
    shrunk = torch.nn.functional.avg_pool2d(images, 4)[:, 0]
    assert (shrunk - torch.from_numpy(small) / 16).abs().mean() < 0.08
    assert labels.tolist() == small_labels.tolist()


def test_another_seed_is_another_order_of_the_same_digits():
    first, other = data.load("digits", seed=0), data.load("digits", seed=1)
    assert first[1].tolist() != other[1].tolist()
    assert {image.numpy().tobytes() for image in first[0]} == {
        image.numpy().tobytes() for image in other[0]
    }


# Boards


def test_a_scene_read_from_its_pixels_alone_has_the_label_it_claims():
    drawn = data.boards("scenes", "train", 300, seed=11)
    for i, image in enumerate(drawn.images):
        cells = as_cells(image)
        cue, wanted = find_cue(cells)
        found = {}
        for number, cell in enumerate(cells):
            bright = cell.max(-1) >= 150
            if number == cue or not bright.any():
                continue
            (shape,) = [k for k, known in enumerate(scenes.SHAPES) if np.array_equal(known, bright)]
            (colour,) = {nearest_colour(pixel.astype(float)) for pixel in cell[bright]}
            found[colour] = (shape, number)
        assert len(found) == len({shape for shape, _ in found.values()}) == 4
        assert found[wanted][0] == drawn.labels[i]
        # … and the metadata tells the same story.
        names = [list(board.COLOURS)[k] for k in drawn.colours[i]]
        assert names[0] == wanted
        assert cue == drawn.cells[i, 4]
        for k, name in enumerate(names):
            assert found[name] == (drawn.objects[i, k], drawn.cells[i, k])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_cued_digit_read_from_its_pixels_is_a_real_digit_of_the_split(split):
    n, seed = 60, 4
    drawn = data.boards("cued-digits", split, n, seed)
    blank = without_objects(cued_digits, split, n, seed)
    originals, labels = digits.originals(split)
    known = originals.reshape(len(originals), 64).astype(float)
    known = (known - known.mean(1, keepdims=True)) / known.std(1, keepdims=True)
    palette = np.array(list(board.COLOURS.values()), dtype=float)
    for i in range(n):
        cells, under = as_cells(drawn.images[i]).astype(float), as_cells(blank.images[i])
        _, wanted = find_cue(cells)
        assert wanted == list(board.COLOURS)[drawn.colours[i, 0]]
        for k in range(4):
            cell = drawn.cells[i, k]
            colour = palette[drawn.colours[i, k]]
            brightest = cells[cell].reshape(64, 3)[cells[cell].max(-1).argmax()]
            assert nearest_colour(brightest) == list(board.COLOURS)[drawn.colours[i, k]]
            # Undo the tint where it is strongest, at the middle of its brightness, to see the ink.
            tint, dark, seen = (x[..., colour.argmax()] for x in (colour, under[cell], cells[cell]))
            ink = ((seen - dark) / (0.875 * tint - dark)).ravel()
            match = known @ ((ink - ink.mean()) / ink.std()) / 64
            assert match.max() > 0.99
            assert labels[match.argmax()] == drawn.objects[i, k]
        assert drawn.labels[i] == drawn.objects[i, 0]


@pytest.mark.parametrize(("name", "kind"), [("scenes", scenes), ("cued-digits", cued_digits)])
def test_the_masks_are_exact_and_disjoint(name, kind):
    drawn = data.boards(name, "test", 600, seed=2)
    blank = without_objects(kind, "test", 600, seed=2)
    overlap = drawn.target.astype(int) + drawn.distractors + drawn.cue
    assert overlap.max() == 1
    # What the objects' masks cover is what drawing the objects changed, pixel by pixel.
    changed = (drawn.images != blank.images).any(-1)
    assert np.array_equal(changed, drawn.target | drawn.distractors)
    # The cue is all that stands out on a board without objects: a 6x6 square.
    assert np.array_equal((blank.images > 115).any(-1), drawn.cue)
    assert (drawn.cue.sum((1, 2)) == 36).all()
    # Each mask lies in the cells it belongs to.
    for i in range(0, 600, 7):
        occupied = as_cells(drawn.target[i]).any((1, 2)).nonzero()[0]
        assert occupied.tolist() == [drawn.cells[i, 0]]
        occupied = as_cells(drawn.distractors[i]).any((1, 2)).nonzero()[0]
        assert occupied.tolist() == sorted(drawn.cells[i, 1:4])


@pytest.mark.parametrize("name", BOARDS)
def test_objects_colours_and_cells_are_distinct_on_every_board(name):
    drawn = data.boards(name, "train", 2000)
    for column in (drawn.objects, drawn.colours, drawn.cells):
        ordered = np.sort(column, axis=1)
        assert (ordered[:, 1:] > ordered[:, :-1]).all()
    assert drawn.objects.max() == 9
    assert drawn.colours.max() == 5
    assert drawn.cells.max() == 15


@pytest.mark.parametrize("name", BOARDS)
def test_nothing_but_the_pair_of_cue_and_object_tells_the_class(name):
    drawn = data.boards(name, "train", 20_000)
    assert (np.bincount(drawn.labels) == 2000).all()
    # Colour of the cue, its cell, and the cell of the target: equally frequent for every class.
    for column, size in (
        (drawn.colours[:, 0], 6),
        (drawn.cells[:, 4], 16),
        (drawn.cells[:, 0], 16),
    ):
        table = np.zeros((10, size))
        np.add.at(table, (drawn.labels, column), 1)
        expected = 2000 / size
        assert np.abs(table - expected).max() < 5 * np.sqrt(expected)
    # A distractor has each of the nine other classes equally often.
    table = np.zeros((10, 10))
    np.add.at(table, (drawn.labels[:, None], drawn.objects[:, 1:]), 1)
    assert (table.diagonal() == 0).all()
    others = table[~np.eye(10, dtype=bool)]
    assert np.abs(others - 6000 / 9).max() < 5 * np.sqrt(6000 / 9)


def test_the_colours_are_far_apart_at_any_brightness():
    palette = np.array(list(board.COLOURS.values()), dtype=float)
    for i, a in enumerate(palette):
        for b in palette[:i]:
            for brightness in np.linspace(0.75, 1, 6):
                for other in np.linspace(0.75, 1, 6):
                    assert np.abs(brightness * a - other * b).max() > 80


def test_the_shapes_are_distinct():
    difference = scenes.SHAPES[:, None] != scenes.SHAPES[None]
    apart = difference.sum((2, 3))[~np.eye(10, dtype=bool)]
    assert apart.min() >= 8


@pytest.mark.parametrize("name", BOARDS)
def test_8000_boards_are_drawn_within_two_seconds(name):
    seconds = []
    for seed in range(3):
        start = time.process_time()
        data.boards(name, "train", 8000, seed)
        seconds.append(time.process_time() - start)
    print(f"8000 {name}: {min(seconds):.2f} s of one core")
    assert min(seconds) < 2


# Bad requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnist"}, r"unknown data set 'mnist'.*digits, scenes, cued-digits, cifar10"),
        ({"split": "val"}, r"unknown split 'val'.*train, test"),
        ({"n": 0}, "at least 1; got 0"),
        ({"n": -3}, "at least 1; got -3"),
        ({"n": 2.5}, "at least 1; got 2.5"),
        ({"n": True}, "at least 1; got True"),
        ({"seed": -1}, "seed must be a whole number, 0 or more; got -1"),
        ({"seed": "x"}, "seed must be a whole number, 0 or more; got 'x'"),
    ],
)
@pytest.mark.parametrize("name", HERE)
def test_bad_requests_are_refused_with_what_is_allowed(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(**{"name": name, **arguments})


def test_more_digits_than_there_are_is_refused():
    assert len(data.load("digits", n=547)[1]) == 547
    with pytest.raises(ValueError, match="at most 547, the size of this split; got 548"):
        data.load("digits", n=548)


def test_only_boards_have_masks():
    with pytest.raises(ValueError, match=r"no boards are called 'digits'.*scenes, cued-digits"):
        data.boards("digits")
    with pytest.raises(ValueError, match="unknown split"):
        data.boards("scenes", "all")


@pytest.mark.parametrize("question", [data.classes, data.normalisation, data.dataset])
def test_unknown_names_are_refused_everywhere(question):
    with pytest.raises(ValueError, match=r"unknown data set 'mnist'.*scenes"):
        question("mnist")


def test_denormalise_refuses_images_of_another_shape():
    with pytest.raises(ValueError, match=r"\(..., 1, height, width\); got \(2, 3, 32, 32\)"):
        data.denormalise("digits", torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"got \(32, 32\)"):
        data.denormalise("digits", torch.zeros(32, 32))


def test_the_local_sets_import_neither_torchvision_nor_scikit_learn():
    others = {"torchvision", "sklearn", "timm"}

    def anew():
        for name in list(sys.modules):
            if name.split(".")[0] in others | {"mstlib"}:
                del sys.modules[name]
        importlib.import_module("mstlib.data").load("cued-digits", n=1)
        assert others.isdisjoint(sys.modules)

    assert os.waitpid(child(anew), 0)[1] == 0
