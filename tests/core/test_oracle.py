"""The simulation against an independent network in exact fractions, spike by spike."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracle import Oracle, dyadic_network

import mstlib
from mstlib import Masking

STEPS = 8


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "unfolded"])
@pytest.mark.parametrize(
    "masking",
    [Masking(), Masking(attention=0.5), Masking(attention=0.3, mlp=0.4, blocks=(1, 2))],
    ids=["whole", "attention masked", "blocks masked"],
)
def test_every_spike_of_every_layer_is_the_exact_one(masking, fold):
    ann = dyadic_network(seed=1)
    snn = mstlib.convert(ann, fold=fold)
    draw = torch.Generator().manual_seed(2)
    images = torch.randint(-8, 9, (2, 1, 8, 8), generator=draw).double() / 8
    run = mstlib.simulate(
        snn, images, STEPS, masking, seed=3, batch_size=1, chunk=4, record=snn.neurons
    )
    ties, delivered = 0, Counter()
    for b, image in enumerate(images.numpy()):
        oracle = Oracle(ann, b, masking, seed=3)
        logits = oracle.show(np.vectorize(Fraction, otypes=[object])(image), STEPS)
        assert list(oracle.spikes) == list(snn.neurons)
        for layer, steps in oracle.spikes.items():
            assert run.spikes[layer][:, b].int().tolist() == steps, layer
        for t in range(STEPS):
            assert [Fraction(z) for z in run.logits[t, b].tolist()] == logits[t]
        ties += oracle.ties
        delivered.update(oracle.delivered)
    assert run.delivered == delivered  # each mask that drops anything, and no other
    assert ties > 50  # so that the side on which ties fall is tested
    rates = run.firing_rates.values()
    assert min(rates) > 0  # every layer speaks
    assert max(rates) < 1
