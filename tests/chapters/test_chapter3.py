"""Chapter 3: the LayerNorm variant, distances of distributions, plain code."""

import copy
from dataclasses import asdict

import pytest
import torch
from reading import definition
from scipy.stats import wasserstein_distance
from tiny import pictures, tiny
from torch import nn
from traitlets import TraitError

import mstlib
from mstlib.analysis.distributions import activations, distance, potentials, shares
from mstlib.analysis.ledger import averages
from mstlib.checkpoints import manifest
from mstlib.explorers import NormalisationExplorer
from mstlib.models.layers import ReadoutNorm, StepNorm, TokenNorm
from mstlib.models.swin import SwinConfig
from mstlib.plain import plain_loop
from mstlib.train import RECIPES, accuracy

NOTEBOOK = "03_layernorm_against_batchnorm.ipynb"


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- the variant ----


def test_the_layernorm_variant_has_a_layernorm_in_the_place_of_every_batchnorm():
    batch, layer = tiny(), tiny(norm="layer")
    places = {name: m for name, m in batch.named_modules() if isinstance(m, TokenNorm)}
    swapped = {name: m for name, m in layer.named_modules() if isinstance(m, StepNorm)}
    assert places.keys() == swapped.keys()
    assert not any(isinstance(m, TokenNorm) for m in layer.modules())
    for name, norm in places.items():
        assert swapped[name].weight.shape == norm.weight.shape
    assert type(tiny(norm="layer", final_norm="layer").norm) is ReadoutNorm
    with pytest.raises(ValueError, match=r"norm must be one of .*batch.*layer.* not 'group'"):
        SwinConfig(norm="group")


def test_a_step_norm_converts_because_it_was_asked_for_and_a_plain_layernorm_does_not():
    ann = tiny(norm="layer").double()
    snn = mstlib.convert(ann)
    assert sum(isinstance(m, StepNorm) for m in snn.modules()) == 15
    ann.layers[0].blocks[0].norm1 = nn.LayerNorm(12)
    with pytest.raises(mstlib.ConversionError, match=r"norm1 \(LayerNorm\): its statistics change"):
        mstlib.convert(ann)


def test_a_step_norm_normalises_every_step_by_itself():
    ann, x = tiny(norm="layer").double(), pictures(2).double()
    plain, quick = plain_loop(ann, x, 6), mstlib.simulate(mstlib.convert(ann), x, 6)
    assert plain.spike_counts == quick.spike_counts
    torch.testing.assert_close(plain.logits, quick.logits, rtol=0, atol=1e-9)
    edges = {e.layer: e.kind for e in mstlib.audit(mstlib.convert(ann), x)}
    assert edges["layers.0.blocks.0.norm1"] == "scaled binary"  # right behind neurons
    assert edges["layers.0.blocks.0.norm2"] == "real"


def test_the_error_of_batchnorm_is_zero_and_that_of_layernorm_stays():
    for norm, kind in (("batch", TokenNorm), ("layer", StepNorm)):
        snn, worst = mstlib.convert(tiny(norm=norm).double(), fold=False), {}
        found = averages(snn, pictures(2).double(), (8, 64), kinds=(kind,))
        for T, name, module, (received, given) in found:
            gap = (given - module.forward(received)).abs().mean()
            worst[T] = max(worst.get(T, 0), float(gap)) if name != "patch_embed.norm" else 0
        if norm == "batch":
            assert worst[64] < 1e-12
        else:
            assert worst[64] > 0.5 * worst[8] > 0.05


def test_the_shipped_pair_differs_in_its_norms_alone():
    batch, layer = manifest()["mst-digits"], manifest()["layernorm-digits"]
    assert batch["seed"] == layer["seed"]
    assert layer["recipe"] == batch["recipe"] | {"model": {"in_channels": 1, "norm": "layer"}}
    assert layer["recipe"] == asdict(RECIPES["layernorm-digits"])
    assert layer["config"] == batch["config"] | {"norm": "layer"}


def test_layernorm_loses_answers_in_spikes_that_its_trained_network_had():
    x, y = mstlib.data.load("digits", "test", 100)
    lost = {}
    for name in ("mst-digits", "layernorm-digits"):
        ann = mstlib.load(name)
        right = accuracy(ann, x, y)
        assert right >= 0.95
        lost[name] = right - float(mstlib.simulate(mstlib.convert(ann), x, 16).accuracy(y)[-1])
    assert lost["mst-digits"] <= 0.03
    assert lost["layernorm-digits"] >= 0.06


# ---- distributions ----


def test_the_distance_is_the_wasserstein_distance():
    for seed, size in ((0, 1), (1, 17), (2, 500)):
        a, b = drawn(size, seed=seed), 0.3 + 2 * drawn(size, seed=seed + 9).relu()
        assert distance(a, b) == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()))
        assert distance(a, a.flip(0)) == 0
        assert distance(a, a + 0.25) == pytest.approx(0.25)
    for bad in (torch.zeros(3), torch.zeros(0), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match="two samples of one size"):
            distance(bad, torch.zeros(0) if bad.ndim == 1 else bad)


def test_shares_are_those_of_the_levels_and_round_as_qcfs_does():
    values = torch.tensor([-0.3, 0.0, 0.124, 0.125, 0.25, 0.874, 0.875, 1.0, 1.4])
    assert shares(values, 4).tolist() == pytest.approx([3 / 9, 2 / 9, 0, 1 / 9, 3 / 9])
    assert shares(values, 4).sum() == 1
    with pytest.raises(ValueError, match="levels must be a whole number >= 1, not 0"):
        shares(values, 0)
    with pytest.raises(ValueError, match="no values"):
        shares(values[:0], 4)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_activations_and_potentials_are_those_of_the_same_neurons(norm):
    ann, x = tiny(norm=norm).double(), pictures(3).double()
    trained, spiking = activations(ann, x), potentials(mstlib.convert(ann), x, (4, 64))
    assert list(spiking) == [4, 64]
    assert list(trained) == list(spiking[4]) == list(spiking[64])
    for name, values in trained.items():
        assert values.shape == spiking[4][name].shape
        assert torch.equal((values * 4).round() / 4, values)  # L = 4: five values
        torch.testing.assert_close(spiking[4][name] * 4, (spiking[4][name] * 4).round())
    # The first layer has a constant input: after L steps, it is its QCFS, neuron by neuron.
    first = next(iter(trained))
    torch.testing.assert_close(trained[first], spiking[4][first])
    assert not any(m._forward_hooks for m in ann.modules())


# ---- the explorer ----


def profile(**changes):
    return {"BN": {"a": {"ann": [0.6, 0.4], "snn": [[0.7, 0.3]], "distance": [0.1]} | changes}}


def test_the_explorer_rounds_what_differs_between_machines():
    explorer = NormalisationExplorer(profile(distance=[0.123456789]), [4])
    assert explorer.profiles["BN"]["a"]["distance"] == [0.12346]
    assert (explorer.norm, explorer.layer, explorer.T) == ("BN", "a", 4)
    assert "0.123" in explorer.fallback()
    with pytest.raises(TraitError, match=r"T must be one of \[4\], not 5"):
        explorer.T = 5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NormalisationExplorer({}, [4]), "at least one norm with one layer"),
        (lambda: NormalisationExplorer(profile(), [4, 2]), "steps must increase"),
        (lambda: NormalisationExplorer(profile(), [4, 8]), "for each of 2 steps"),
        (lambda: NormalisationExplorer(profile(), [4], norm="LN"), "norm must be one of .*'LN'"),
        (lambda: NormalisationExplorer(profile(), [4], layer="b"), "layer must be one of .*'b'"),
        (lambda: NormalisationExplorer(profile() | {"LN": {"b": 0}}, [4]), "the same layers"),
        (lambda: NormalisationExplorer(profile(ann=[0.5, 0.6]), [4]), "add up to 1"),
        (lambda: NormalisationExplorer(profile(snn=[[1.0]]), [4]), "the same levels"),
        (lambda: NormalisationExplorer(profile(distance=[-1.0]), [4]), "finite and >= 0"),
        (lambda: NormalisationExplorer({"BN": {"a": {"ann": [1]}}}, [4]), "ann, snn and distance"),
    ],
)
def test_the_explorer_names_what_is_wrong(build, message):
    with pytest.raises(TraitError, match=message):
        build()


# ---- the notebook's plain definitions ----


def test_normalise_is_both_layers_of_the_library():
    normalise = definition(NOTEBOOK, "normalise")
    x, gamma, beta = 2 + 3 * drawn(3, 5, 6), drawn(6, seed=1), drawn(6, seed=2)
    for norm, axes in ((StepNorm(6), -1), (TokenNorm(6).train(), (0, 1))):
        norm.double()
        norm.weight.data, norm.bias.data = gamma, beta
        torch.testing.assert_close(normalise(x, axes, gamma, beta), norm(x))


@torch.no_grad()
def test_folding_is_the_library_s():
    ann = tiny().double()
    snn = mstlib.convert(ann).net
    weight, bias = definition(NOTEBOOK, "fold_before")(ann.norm, ann.head)
    torch.testing.assert_close(weight, snn.head.weight)
    torch.testing.assert_close(bias, snn.head.bias)
    mlp = ann.layers[1].blocks[0].mlp
    weight, bias = definition(NOTEBOOK, "fold_after")(mlp.fc2, mlp.norm2)
    torch.testing.assert_close(weight, snn.layers[1].blocks[0].mlp.fc2.weight)
    torch.testing.assert_close(bias, snn.layers[1].blocks[0].mlp.fc2.bias)


def test_the_predicted_shrink_is_one_without_noise_and_the_slope_it_predicts():
    shrink, slope = definition(NOTEBOOK, "shrink"), definition(NOTEBOOK, "slope")
    constant = drawn(3, 8).expand(5, 3, 8)
    torch.testing.assert_close(shrink(constant), torch.ones(3).double())
    rates = 0.5 * torch.rand(256, generator=torch.Generator().manual_seed(3)).double()
    steps = (torch.rand(400, 256, generator=torch.Generator().manual_seed(4)) < rates).double()
    norm = nn.LayerNorm(256).double()
    with torch.no_grad():
        measured = slope(norm(steps.mean(0)), norm(steps).mean(0))
    assert float(shrink(steps)) == pytest.approx(float(measured), abs=0.01)
    assert float(measured) < 0.5


@torch.no_grad()
def test_the_norm_of_the_running_mean_compensated_is_exact_at_every_step():
    wrapper = definition(NOTEBOOK, "OfRunningMean", nn=nn)
    norm, x = StepNorm(6).double(), drawn(7, 3, 6)
    exact, running = wrapper(norm, True), wrapper(norm, False)
    said = torch.stack([exact(x_t) for x_t in x])
    late = torch.stack([running(x_t) for x_t in x])
    for t in range(1, 8):
        torch.testing.assert_close(said[:t].mean(0), norm(x[:t].mean(0)))
    torch.testing.assert_close(late[-1], norm(x.mean(0)))
    assert (late.mean(0) - norm(x.mean(0))).abs().max() > 0.01


@torch.no_grad()
def test_frozen_statistics_make_a_batchnorm_that_converts_without_error():
    freeze = definition(
        NOTEBOOK, "with_frozen_statistics", copy=copy, StepNorm=StepNorm, TokenNorm=TokenNorm
    )
    ann, x = tiny(norm="layer").double(), pictures(4).double()
    frozen = freeze(ann, x).double()
    assert not any(isinstance(m, StepNorm) for m in frozen.modules())
    assert any(isinstance(m, StepNorm) for m in ann.modules())
    tokens = {}
    ann.layers[0].blocks[0].norm1.register_forward_hook(
        lambda m, inputs, out: tokens.update(x=inputs[0])
    )
    ann(x)
    norm = frozen.layers[0].blocks[0].norm1
    assert norm.running_mean.unique().numel() == norm.running_var.unique().numel() == 1
    assert float(norm.running_mean[0]) == pytest.approx(float(tokens["x"].mean()))
    torch.testing.assert_close(
        norm(tokens["x"]),
        (tokens["x"] - tokens["x"].mean())
        / (tokens["x"].var(-1, unbiased=False).mean() + norm.eps).sqrt(),
    )
    assert mstlib.simulate(mstlib.convert(frozen), x, 4).logits.isfinite().all()
