"""NDA: every change is what it is called, within its range, and alike for all frames."""

import pytest
import torch

from mstlib.data.events.augment import CHANGES, nda


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(b: int = 16, side: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.poisson(torch.full((b, 3, 2, side, side), 0.7), generator(seed))


def dot(b: int = 150, side: int = 48, at: tuple[int, int] = (10, 24)) -> torch.Tensor:
    """A single event of each polarity in every frame, at (row, column)."""
    frames = torch.zeros(b, 1, 2, side, side)
    frames[..., at[0], at[1]] = 1
    return frames


def places(frames: torch.Tensor) -> torch.Tensor:
    """Where the dots of the first frame are (row, column), those that are still there."""
    return frames[:, 0, 0].nonzero()[:, 1:]


@pytest.mark.parametrize("kind", CHANGES)
def test_all_frames_and_polarities_change_alike_and_the_input_stays(kind):
    one = counts()[:, :1, :1].expand(-1, 3, 2, -1, -1)
    before = one.clone()
    new = nda(one, generator(), changes=(kind,))
    assert new.shape == one.shape
    assert (new == new[:, :1, :1]).all()
    assert (one == before).all()
    assert (new != one).flatten(1).any(1).float().mean() > 0.8
    assert set(new.unique().tolist()) <= set(one.unique().tolist()) | {0.0}


@pytest.mark.parametrize("kind", CHANGES)
def test_equal_seeds_change_equally(kind):
    a, b, c = (nda(counts(8), generator(s), changes=(kind,)) for s in (1, 1, 2))
    assert (a == b).all()
    assert (a != c).any()


def test_half_of_the_recordings_are_flipped():
    frames = counts(100, 8)
    new = nda(frames, generator(), number=0)
    flipped = (new == frames.flip(-1)).flatten(1).all(1)
    assert (flipped | (new == frames).flatten(1).all(1)).all()
    assert 30 < int(flipped.sum()) < 70
    assert (nda(frames, generator(), number=0, flip=False) == frames).all()


@pytest.mark.parametrize(("intensity", "reach"), [(1, 3), (2, 5)])
def test_a_roll_goes_as_far_as_the_published_code(intensity, reach):
    new = nda(dot(), generator(), intensity, flip=False, changes=("roll",))
    steps = places(new) - torch.tensor([10, 24])
    assert steps.min(0).values.tolist() == [-reach, -reach]
    assert steps.max(0).values.tolist() == [reach, reach]
    assert (new.sum((1, 2, 3, 4)) == 2).all()  # what leaves comes in on the other side
    edge = nda(dot(at=(0, 0)), generator(), intensity, flip=False, changes=("roll",))
    assert places(edge).max() > 40


@pytest.mark.parametrize("intensity", [1, 2])
def test_a_turn_is_about_the_middle_and_as_large_as_the_published_code_has_it(intensity):
    new = nda(dot(at=(10, 24)), generator(), intensity, flip=False, changes=("rotate",))
    row, column = (places(new) - 23.5).T
    angle = torch.atan2(column, -row).rad2deg()
    assert (torch.hypot(row, column) - 13.5).abs().max() < 1.5
    # The dot is 2 degrees off the axis, and a pixel half of one wide.
    assert angle.abs().max() < 15 * intensity + 5.5
    assert min(angle.max(), -angle.min()) > 15 * intensity - 5.5


@pytest.mark.parametrize("intensity", [1, 2])
def test_a_shear_moves_rows_along_x(intensity):
    new = nda(dot(at=(4, 24)), generator(), intensity, flip=False, changes=("shear",))
    row, column = places(new).T
    assert (row == 4).all()
    reach = 0.15 * intensity * 19.5
    assert (column - 24).abs().max() <= round(reach + 0.5)
    assert min((column - 24).max(), (24 - column).max()) > reach - 1.5


@pytest.mark.parametrize(("side", "intensity", "largest"), [(48, 1, 8), (48, 2, 16), (24, 2, 8)])
def test_a_cutout_empties_one_square_within_its_size(side, intensity, largest):
    frames = torch.ones(200, 1, 2, side, side)
    new = nda(frames, generator(), intensity, flip=False, changes=("cutout",))
    sides = []
    for recording in new[:, 0, 0] == 0:
        rows, columns = recording.any(1), recording.any(0)
        assert int(recording.sum()) == int(rows.sum()) * int(columns.sum())
        sides.append(max(int(rows.sum()), int(columns.sum())))
    assert largest - 2 <= max(sides) <= largest + 1
    assert (new[:, 0, 0] == 0).any(0).float().mean() > 0.75  # everywhere in turn


def test_several_changes_are_made_one_after_another():
    new = nda(torch.ones(50, 1, 2, 48, 48), generator(), flip=False, number=4)
    assert ((new == 0).flatten(1).float().mean(1) > 0.005).float().mean() > 0.8


def test_a_turn_on_a_frame_that_is_not_square_keeps_distances():
    frames = torch.zeros(100, 1, 2, 40, 80)
    frames[..., 20, 60] = 1
    frames[..., 20, 61] = 1
    new = nda(frames, generator(), 2, flip=False, changes=("rotate",))
    distance = torch.hypot(places(new)[:, 0] - 19.5, places(new)[:, 1] - 39.5)
    assert distance.min() > 19.4
    assert distance.max() < 22.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": torch.zeros(3, 4)}, r"frames must be \(B, ..., H, W\), not \(3, 4\)"),
        ({"intensity": 0}, "intensity must be a finite number above 0; got 0"),
        ({"intensity": float("nan")}, "intensity must be a finite number above 0; got nan"),
        ({"number": 5}, "number must be a whole number from 0 to 4; got 5"),
        ({"number": -1}, "number must be a whole number from 0 to 4; got -1"),
        ({"changes": ("roll", "blur")}, "unknown change 'blur': choose from roll, rotate, shear"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        nda(**({"frames": counts(1), "generator": generator()} | changes))
