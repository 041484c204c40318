"""A kernel at every explorer: it drives and observes each setting; `run` is the view's result."""

import random

import pytest
import torch
import traitlets
from desk import static
from explorer_samples import TRACES, explorers

from mstlib.explorers import EnergyExplorer, NeuronExplorer, ProductExplorer, QCFSExplorer
from mstlib.explorers.base import Number
from mstlib.neurons import RESETS

EVERY = pytest.mark.parametrize("view", sorted(explorers()))

LABELS = {"measure"}  # any text will do
ALONE = {("network", "network")}  # the sample offers one
# Settings whose other values depend on what the explorer shows.
OTHER = {
    ("normalisation", "T"): 8,
    ("saliency", "image"): 2,
    ("saliency", "time"): 1,
    ("saliency", "network"): "75 %",
    ("saliency", "layer"): "block 2",
    ("normalisation", "norm"): "LayerNorm",
    ("normalisation", "layer"): "patch_embed.proj_if",
    ("conversion", "network"): "mst-digits",
    ("conversion", "measure"): "another",
    ("energy", "network"): "resnet-digits",
    ("energy", "ratio"): "0 %",
    ("masking", "network"): "mst-digits",
    ("network", "drawing"): "0123456789abcdefg" * 3 + "0" * 13,
    ("network", "layer"): "layers.0.blocks.1.mlp.fc2_if",
    ("backbones", "network"): "vgg-digits",
    ("events", "recording"): "left",
    ("cost", "data"): "ImageNet",
    ("cost", "device"): "H100 SXM, 16 bits",
}


def other_and_wrong(view, explorer, name):
    """Another value that a setting may take, and one that it may not."""
    trait, now = explorer.traits()[name], getattr(explorer, name)
    if isinstance(trait, Number):
        other, wrong = (trait.low if now != trait.low else trait.high), trait.high + 1
    elif isinstance(trait, traitlets.Enum):
        other, wrong = next(v for v in trait.values if v != now), "no such value"
    else:
        other, wrong = None, "no such value"
    return OTHER.get((view, name), other), wrong


@EVERY
def test_each_setting_is_driven_observed_and_guarded(view):
    for name, trait in explorers()[view].traits(sync=True).items():
        if name not in type(explorers()[view])._settings:
            continue
        explorer, heard = explorers()[view], []
        explorer.observe(lambda change, heard=heard: heard.append(change["new"]), names=name)
        now = getattr(explorer, name)
        if isinstance(trait, traitlets.Dict | traitlets.List):  # measured, and given at the start
            with pytest.raises(traitlets.TraitError, match=name):
                setattr(explorer, name, 3)
            continue
        other, wrong = other_and_wrong(view, explorer, name)
        if name not in LABELS:
            with pytest.raises(traitlets.TraitError, match=name):
                setattr(explorer, name, wrong)
        assert getattr(explorer, name) == now
        if (view, name) in ALONE:
            continue
        setattr(explorer, name, other)
        assert heard == [other], name
        assert other != now


# ---- `run`, against the same sum in the view ----


def drawn_settings(seed, count, **ranges):
    """Random settings: (low, high) is a range, of whole numbers or not; a list is a choice."""
    draw = random.Random(seed)

    def one(range_):
        if isinstance(range_, list):
            return draw.choice(range_)
        low, high = range_
        return draw.randint(low, high) if isinstance(low, int) else draw.uniform(low, high)

    return [{name: one(range_) for name, range_ in ranges.items()} for _ in range(count)]


def in_the_view(desk, explorer, expression, settings):
    """What the view's own function gives for each of the settings."""
    with desk.open(static(explorer)) as page:
        page.locator(".mst-say").first.wait_for()
        return page.evaluate(f"all => all.map({expression})", settings)


def test_neuron(desk):
    settings = drawn_settings(
        0, 60, current=(-0.2, 1.5), threshold=(0.5, 2.0), reset=list(RESETS),
        start=(0.0, 1.0), steps=(1, 128),
    )  # fmt: skip
    found = in_the_view(desk, NeuronExplorer(), "mstExplorers.views.neuron.simulate", settings)
    explorer = NeuronExplorer()
    for these, view in zip(settings, found, strict=True):
        for name, value in these.items():
            setattr(explorer, name, value)
        spikes, potentials = explorer.run
        assert view["spikes"] == spikes.tolist(), these
        assert view["potentials"] == pytest.approx(potentials.tolist(), abs=1e-12)
    assert explorer.run[0].shape == (settings[-1]["steps"],)


def test_qcfs(desk):
    explorers_ = [
        QCFSExplorer(**these)
        for these in drawn_settings(
            1, 30, threshold=(0.5, 2.0), levels=(1, 32), steps=(1, 64), start=(0.0, 1.0)
        )
    ]
    settings = [
        {"z": e.run.inputs.tolist(), **{name: getattr(e, name) for name in e._settings}}
        for e in explorers_
    ]
    expression = """({ z, threshold, levels, steps, start }) => {
        const { qcfs, fire } = mstExplorers.views.qcfs;
        return {
            activation: z.map((x) => qcfs(x, threshold, levels)),
            rate: z.map((x) => fire(x, threshold, steps, start)),
        };
    }"""
    found = in_the_view(desk, QCFSExplorer(), expression, settings)
    for explorer, view in zip(explorers_, found, strict=True):
        run = explorer.run
        assert view["activation"] == pytest.approx(run.activation.tolist(), abs=1e-12)
        assert view["rate"] == pytest.approx(run.rate.tolist(), abs=1e-12)
        assert run.inputs[0] < 0 < explorer.threshold < run.inputs[-1]
        assert run.activation.max() == pytest.approx(explorer.threshold)


def test_product(desk):
    unit = (0.0, 1.0)
    settings = drawn_settings(
        2, 30, rate_q=unit, rate_k=unit, start_q=unit, start_k=unit, steps=(8, 512)
    )
    found = in_the_view(desk, ProductExplorer(), "mstExplorers.views.product.products", settings)
    for these, view in zip(settings, found, strict=True):
        run = ProductExplorer(**these).run
        assert view["q"] == run.q.tolist(), these
        assert view["k"] == run.k.tolist(), these
        assert view["mean"] == pytest.approx(run.mean.tolist(), abs=1e-12)
        assert view["wanted"] == pytest.approx(run.wanted.tolist(), abs=1e-12)
    # By hand: two neurons in step fire together whenever they fire.
    run = ProductExplorer(rate_q=0.5, rate_k=0.5, steps=8).run
    assert run.mean.tolist() == run.q.cumsum(0).div(torch.arange(1, 9)).tolist()
    assert run.wanted[-1] == 0.25


def test_energy():
    explorer = EnergyExplorer(TRACES)
    explorer.steps = 8
    assert explorer.run == explorer.energies(8) != explorer.energies(16)
    explorer.memory = 0
    assert explorer.run["floats"] < EnergyExplorer(TRACES, steps=8).run["floats"]
