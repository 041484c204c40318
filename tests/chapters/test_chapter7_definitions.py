"""The plain definitions of chapter 7 give the same numbers as the library."""

from dataclasses import replace

import pytest
import torch
from reading import definition
from tiny import pictures, tiny
from torch import nn

from mstlib.masking import Masking, RandomSpikeMask, mask_numbers
from mstlib.train import Distillation, distil, teach

NOTEBOOK = "07_random_spike_masking.ipynb"


@pytest.mark.parametrize("p", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("gradient", [False, True])  # compiled, and with tensor operations
def test_mask_is_the_library_s(p, gradient):
    plain = definition(NOTEBOOK, "mask")
    draw = torch.Generator().manual_seed(0)
    values = torch.randint(4, (5 * 3, 2, 7), generator=draw) / 4.0  # (T·B, ...), levels of QCFS
    place = RandomSpikeMask("attention", block=0, site=11)
    place.set(Masking(attention=p), seed=3)
    place.begin(range(2, 7), [4, 0, 9])
    numbers = mask_numbers(3, 11, range(2, 7), [4, 0, 9], 14).view(values.shape) / 2**24
    theirs = place(values.clone().requires_grad_(gradient))
    mine = plain(values, numbers, p)
    assert torch.equal(mine, theirs)
    assert place.delivered == int((mine > 0).sum())
    assert 0 < place.delivered < int((values > 0).sum())


def test_numbers_of_spikes_are_the_library_s():
    scramble = definition(NOTEBOOK, "scramble")
    number = definition(NOTEBOOK, "spike_number", scramble=scramble)
    steps, images = range(1000, 1003), [0, 5, 2**20]
    for seed, site in ((0, 0), (1, 19), (2**31 - 1, 3)):
        theirs = mask_numbers(seed, site, steps, images, 40)
        mine = [[[number(seed, site, t, b, i) for i in range(40)] for b in images] for t in steps]
        assert torch.equal(torch.tensor(mine, dtype=torch.float64), theirs.double() / 2**24)


@pytest.mark.parametrize(("share", "temperature"), [(0.5, 2.0), (0.2, 5.0)])
def test_distillation_loss_is_the_one_that_students_learn_by(share, temperature, monkeypatch):
    """Taken from `distil` at the moment in which it hands its loss to the teach."""
    plain = definition(NOTEBOOK, "distillation_loss", nn=nn)
    caught = {}

    def fit(student, batches, *args, loss, **options):
        caught.update(student=student, loss=loss)

    monkeypatch.setattr(teach, "fit", fit)
    base = replace(teach.RECIPES["mst-digits"], spread=0.0)  # no random rounding
    monkeypatch.setitem(teach.RECIPES, "mst-digits", base)
    teacher, images, labels = tiny(), pictures(6), torch.tensor([0, 3, 9, 1, 1, 4])
    other = tiny(seed=1)
    how = Distillation("mst-digits", share=share, temperature=temperature)
    distil(teacher, how)
    caught["student"].load_state_dict(other.state_dict())  # the two must differ
    with torch.no_grad():
        theirs = caught["loss"](images, labels)
        mine = plain(
            other(images), teacher(images), labels, share, temperature, smoothing=base.smoothing
        )
    torch.testing.assert_close(mine, theirs)
    assert float(mine) > 0.1
