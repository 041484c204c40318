"""The two simulated sets: deterministic, quick, and told apart by motion alone."""

import hashlib
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from mstlib import data
from mstlib.data import digits
from mstlib.data.events import check, moving
from mstlib.data.events.camera import Camera, film_all
from mstlib.data.events.frames import frames, stack

NAMES = ["events-digits", "events-motion"]


def contents(recordings) -> str:
    found = hashlib.sha256()
    for events, label in recordings:
        found.update(events.tobytes() + bytes([label]))
    return found.hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_valid_and_fewer_are_the_first_of_more(name):
    many, few = data.recordings(name, n=260), data.recordings(name, n=12)
    assert len(many) == 260
    assert contents(few) == contents(many[:12])
    assert many.size == (32, 32)
    assert list(many.classes) == data.classes(name)
    duration = {"events-digits": 300_000, "events-motion": 96_000}[name]
    for events, label in many[::20]:
        check(events, many.size)
        assert 300 < len(events) < 6000
        assert 0.9 * duration < events["t"][-1] <= duration
        assert 0 <= label < len(many.classes)
    events, label = many[259]  # of the second batch
    assert label == many.labels[259]


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_recordings_and_other_seeds_and_splits_others(name):
    first = contents(data.recordings(name, n=5))
    moving._batch.cache_clear()
    assert contents(data.recordings(name, n=5, seed=0)) == first
    assert contents(data.recordings(name, n=5, seed=1)) != first
    assert contents(data.recordings(name, "train", n=5)) != first


def test_the_recordings_are_those_on_record():
    """Another machine makes the same: only rounded sines, and single arithmetic steps, go in."""
    found = {name: contents(data.recordings(name, n=20))[:16] for name in NAMES}
    assert found == {"events-digits": "358bc0015a9ac39b", "events-motion": "08d94014ff03e68f"}


def test_a_split_is_made_in_seconds():
    moving._batch.cache_clear()
    begin = time.process_time()
    for events, _ in data.recordings("events-motion", "train", 500, seed=9):
        assert len(events)
    assert time.process_time() - begin < 5  # half a second on a quiet laptop


def test_splits_have_their_sizes():
    sizes = {name: [len(data.recordings(name, s)) for s in ("train", "test")] for name in NAMES}
    assert sizes == {"events-digits": [1250, 547], "events-motion": [8000, 2000]}
    labels = data.recordings("events-digits", n=1000).labels
    assert (labels[:453] == labels[547:]).all()  # the same digits once more
    counts = np.bincount(data.recordings("events-motion").labels)
    assert counts.max() - counts.min() <= 8  # of 8 batches


def test_a_digit_shows_where_it_has_edges():
    """Summed up, the frames of a one are taller than they are wide, and nothing fills the frame."""
    ones = [events for events, label in data.recordings("events-digits", n=100) if label == 1]
    assert len(ones) > 3
    pixels = np.concatenate([np.stack([e["x"], e["y"]], 1) for e in ones])
    assert pixels[:, 1].std() > 1.15 * pixels[:, 0].std()


def test_the_camera_comes_back_to_where_a_saccade_began():
    images = np.random.default_rng(0).random((2, 10, 10))
    seen, interval = moving.saccades(images, np.array([[16, 16], [14, 17]]), np.array([6, 4]), 2)
    assert seen.shape == (2, 37, 32, 32)
    assert interval == pytest.approx(100_000 / 12)
    assert (seen[:, 0] == seen[:, -1]).all()
    # After the second saccade the picture has gone 6 pixels to the right, along x alone.
    np.testing.assert_allclose(seen[0, 24, 8:24, 14:28], seen[0, 0, 8:24, 8:22], atol=2e-5)
    # A picture of the sensor's own size at rest in the middle is itself.
    still, _ = moving.saccades(np.random.default_rng(0).random((1, 32, 32)).round(4), *REST)
    np.testing.assert_array_equal(still[0, 0], np.random.default_rng(0).random((32, 32)).round(4))


REST = (np.array([[16, 16]]), np.array([0]))


def alone(labels: np.ndarray, number: int) -> list[np.ndarray]:
    """Films of the shapes that count, without noise, in the middle of the sensor."""
    rng = np.random.default_rng(0)
    with_all = np.resize(labels, moving.BATCH)
    shapes = moving._shape(rng, with_all, np.full((moving.BATCH, 2), 16.0))
    return film_all(shapes[:number], moving._MOTION_INTERVAL, Camera())


def test_motions_move_as_they_are_called():
    """The middle of the events, and how far they are from it, as a shape appears and as it goes."""
    labels = np.arange(8)
    found = {name: [] for name in moving.MOTIONS}
    for number, events in enumerate(alone(labels, 80)):
        ends = events["t"] < 8000, events["t"] > 40_000
        x, y = ([events[axis][end].mean() for end in ends] for axis in "xy")
        spread = [events["x"][end].std() for end in ends]
        found[moving.MOTIONS[number % 8]].append((x[1] - x[0], y[1] - y[0], spread[1] - spread[0]))
    mean = {name: np.mean(rows, 0) for name, rows in found.items()}
    assert mean["right"][0] > 6 > -6 > mean["left"][0]
    assert mean["down"][1] > 6 > -6 > mean["up"][1]
    assert mean["growing"][2] > 0.7 > -0.7 > mean["shrinking"][2]
    for name in ("clockwise", "counter-clockwise", "growing", "shrinking"):
        assert np.abs(mean[name][:2]).max() < 1


def test_a_shape_turns_the_way_its_class_says():
    rng = np.random.default_rng(0)
    _, angle, _ = moving._paths(rng, np.array([4, 5]), np.zeros((2, 2)))
    assert (np.diff(angle[0]) > 0).all()  # y points down: a growing angle turns clockwise
    assert (np.diff(angle[1]) < 0).all()
    bar = moving._ink(
        np.full(1, 2), np.full((1, 2, 2), 16.0), np.array([[0, 0.5]]), np.full((1, 2), 6)
    )
    first, second = bar[0]
    assert first[16, 22] > 0.9  # it lies along x, and its right end goes down
    assert second[20, 21] > first[20, 21] + 0.5


def test_the_label_is_the_motion_of_the_shape_that_moves_while_the_light_blinks():
    film, _ = moving._motion(moving._stream("events-motion", "test", 3, 0), "test", 3, 0)
    labels = moving._motions("test", 3, 0)
    ink = np.abs(film).astype(float)
    assert film.shape == (250, 25, 32, 32)
    assert not film[:, [0, 12, 24]].any()  # all begins and ends at the ground
    halves = ink[:, :13], ink[:, 12:]
    # The light is off in steps 4 and 8 of a half, and on in step 6.
    light = [half[:, 6].sum((1, 2)) - half[:, [4, 8]].sum((1, 2, 3)) / 2 for half in halves]
    lit = np.array(light).argmax(0)
    assert 80 < lit.sum() < 170
    assert np.min(np.max(light, 0)) > 10 > 5 > np.max(np.min(light, 0))
    here = np.where(lit[:, None, None, None] == 0, *halves)
    area = here[:, [4, 8]].sum((2, 3))
    place = np.arange(32)
    x = (here[:, [4, 8]].sum(2) * place).sum(2) / area
    y = (here[:, [4, 8]].sum(3) * place).sum(2) / area
    step = np.stack([x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], area[:, 1] / area[:, 0] - 1])
    for label, (axis, sign) in enumerate([(0, -1), (0, 1), (1, -1), (1, 1)]):
        assert (sign * step[axis, labels == label] > 1).all()
    assert (step[2, labels == 6] > 0.2).all()
    assert (step[2, labels == 7] < -0.2).all()
    for label in (4, 5, 6, 7):
        assert np.abs(step[:2, labels == label]).max() < 1.5


def opposite_pairs(counts, labels, seed=0):
    """How often a small network tells opposites apart, for each pair, on the second half."""
    torch.manual_seed(seed)
    half = len(counts) // 2
    results = []
    for pair in moving.OPPOSITES:
        rows = torch.isin(labels, torch.tensor(pair))
        x, y = counts[rows], (labels[rows] == pair[1]).long()
        cut = int(rows[:half].sum())
        net = nn.Sequential(
            nn.Conv2d(x.shape[1], 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 2),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(net.parameters())
        # A rate that ends at zero, or the last batches decide: a score would hang on rounding.
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, 8 * math.ceil(cut / 50))
        for _ in range(8):
            for batch in torch.randperm(cut).split(50):
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
                optimiser.step()
                cycle.step()
        net.eval()
        with torch.no_grad():
            results.append(float((net(x[cut:]).argmax(1) == y[cut:]).float().mean()))
    return results, cut


@pytest.mark.slow
def test_only_the_order_of_the_events_tells_opposites_apart():
    counts, labels = stack(data.recordings("events-motion", "train", 2400))
    shares, trained = opposite_pairs(counts.sum(1), labels)
    chance = 4 * 0.5 / trained**0.5  # four standard deviations
    assert all(abs(share - 0.5) < chance for share in shares), shares
    shares, _ = opposite_pairs(counts.flatten(1, 2), labels)
    assert sorted(shares)[1] > 0.9, shares  # turning takes longer to learn


def test_backwards_and_inverted_is_the_opposite_motion():
    """The same sums of events in every pixel, but for some that the refractory time swallows."""
    rng = moving._stream("events-motion", "test", 0, 0)
    film, interval = moving._motion(rng, "test", 0, 0)
    film = film[:40]
    camera = Camera(moving.CAMERA.threshold, moving.CAMERA.mismatch)
    sums = [
        [frames(events, 1, moving.SIZE) for events in film_all(scene, interval, camera)]
        for scene in (film, -film[:, ::-1])
    ]
    assert (np.array(sums[0]) == np.array(sums[1])).all()


@pytest.mark.parametrize("name", NAMES)
def test_load_stacks_eight_frames_as_channels(name):
    images, labels = data.load(name, n=30)
    assert images.shape == (30, 16, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    torch.testing.assert_close(images.square().mean((1, 2, 3)), torch.ones(30))
    events, label = data.recordings(name, n=30)[7]
    assert label == labels[7]
    counts = torch.from_numpy(frames(events, 8, (32, 32))).flatten(0, 1)
    torch.testing.assert_close(images[7], counts / counts.square().mean().sqrt())


def test_classes_and_names():
    assert set(NAMES) <= set(data.names())
    assert data.classes("events-digits") == list(digits.CLASSES)
    assert len(data.classes("events-motion")) == 8
    with pytest.raises(ValueError, match="events-motion is a set of events: each recording is"):
        data.normalisation("events-motion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("events-film",), "unknown .*set 'events-film'"),
        (("events-motion", "val"), "unknown split 'val': choose one of train, test"),
        (("events-motion", "test", 0), "n must be a whole number of images, at least 1; got 0"),
        (("events-digits", "test", 5, -1), "seed must be a whole number, 0 or more; got -1"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.recordings(*arguments)
