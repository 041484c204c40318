"""Must agree to the last spike: the engine in a browser, and PyTorch in float64."""

import copy
from dataclasses import asdict

import pytest
import torch
from enginepage import EnginePage, bits
from playwright.sync_api import Error
from tiny import pictures, tiny

from mstlib import Confidence, Masking, data, simulate
from mstlib.analysis import operations
from mstlib.checkpoints import data_set
from mstlib.convert import SpikingNetwork
from mstlib.data.events.frames import summed
from mstlib.explorers import page
from mstlib.masking import mask_numbers, set_masking

pytestmark = pytest.mark.filterwarnings("ignore:this network was trained with")
STEPS = 32
TIE = 1e-9  # a membrane potential this near to its threshold may round to either side


@pytest.fixture(scope="module")
def engine(browser):
    opened = EnginePage(browser)
    yield opened
    opened.page.close()


def first_gap(
    snn: SpikingNetwork, engine, name: str, images: torch.Tensor, index: int, options: dict
) -> float | None:
    """Find the first spike on which both differ; return how far from θ the potential was there."""
    layers, masking = list(snn.neurons), Masking(**options["masking"])
    ours = simulate(snn, images, STEPS, masking, options["seed"], record=layers)
    theirs = engine.run(name, images, record=layers, **options)[index]["spikes"]
    for t in range(STEPS):
        for layer in layers:
            mine = ours.spikes[layer][t, index]
            other = bits(theirs[layer], STEPS, len(mine))[t]
            if not torch.equal(mine, other):
                neuron = int((mine != other).nonzero()[0])
                set_masking(snn, masking, options["seed"])
                snn.reset()
                with torch.no_grad():
                    snn.advance(images[index : index + 1], range(t + 1), [index])
                theta, v = snn.neurons[layer].threshold, snn.neurons[layer].v[0, neuron]
                return float(abs(v if mine[neuron] else v - theta))
    return None


def compare(
    snn: SpikingNetwork, engine, name: str, images: torch.Tensor, options: dict
) -> list[int]:
    """Compare predictions, spikes and logits; return the images that differ without a tie."""
    ours = simulate(snn, images, STEPS, Masking(**options["masking"]), options["seed"])
    theirs = engine.run(name, images, **options)
    assert list(theirs[0]["emitted"]) == list(snn.neurons)
    logits = torch.tensor([one["logits"] for one in theirs], dtype=torch.float64).movedim(0, 1)
    emitted = {
        layer: torch.tensor([one["emitted"][layer] for one in theirs]).sum(0).tolist()
        for layer in snn.neurons
    }
    delivered = {mask: sum(one["delivered"][mask] for one in theirs) for mask in ours.delivered}
    if (
        torch.equal(logits.mean(0).argmax(-1), ours.predictions())
        and float((logits - ours.logits).abs().max()) < 1e-6
        and emitted == {layer: n.tolist() for layer, n in ours.step_counts.items()}
        and delivered == ours.delivered
    ):
        return []
    gaps = {i: first_gap(snn, engine, name, images, i, options) for i in range(len(images))}
    parted = {i: gap for i, gap in gaps.items() if gap is not None}
    return [i for i, gap in parted.items() if not gap < TIE] if parted else list(gaps)


def shown(name: str) -> torch.Tensor:
    """The images that pages show to a shipped network; frames of events, which they do not yet."""
    kind = data_set(name)
    if not kind.startswith("events"):
        return page.pictures(name).images()
    images = data.load(kind, "test", 50)[0]
    if name.endswith("-summed"):
        images = summed(images.unflatten(1, (-1, 2)))
    return images.double()


@pytest.mark.parametrize("name", page.transformers())
def test_every_shipped_transformer_agrees(engine, name):
    """On every picture that pages show, on half as many for networks that they do not offer."""
    engine.add(page.script(name))
    snn, images = page.network(name), shown(name)
    assert len(images) == 50
    images = images if name in page.MODELS else images[:24]
    for k, ratio in enumerate((0, 0.5, 0.75)):  # each picture with one of them
        options = {"steps": STEPS, "seed": 3, "masking": {"attention": ratio, "mlp": ratio}}
        assert compare(snn, engine, name, images[k::3], options) == [], ratio


VARIANTS = {
    "as the paper": {"attention": "pure"},
    "as the code": {"residual": "norm", "final_norm": "layer", "mlp_norm": False},
    "one channel, one head": {"in_channels": 1, "heads": (1, 1), "width": 8},
    "three stages": {"image_size": 32, "depths": (4, 2, 1), "heads": (3, 3, 6)},
    "frames of events": {"in_channels": 6, "reduction": 3},
    "large windows": {"image_size": 32, "window": 4, "patch_size": 2},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_agrees_and_counts_what_python_counts(engine, name):
    ann = tiny(seed=1, **VARIANTS[name])
    engine.add(page.script(name, ann))
    snn, images = page.network(ann), pictures(3, 2, ann.config.in_channels, ann.config.image_size)
    for ratio in (0, 0.4):
        masks = {"attention": ratio, "mlp": ratio / 2}
        options = {"steps": STEPS, "seed": 7, "masking": masks}
        assert compare(snn, engine, name, images, options) == []
        trace = operations.trace(snn, images[:1], STEPS, Masking(**masks), seed=7)
        one = engine.run(name, images[:1], **options)[0]
        assert one["totals"] == pytest.approx(asdict(trace.totals()), rel=1e-12)
        counted = {layer.name: layer.synaptic for layer in trace.layers if layer.synaptic}
        assert counted == {layer: n for layer, n in one["additions"].items() if n}
        assert sum(one["additions"].values()) > 1000


def test_every_shipped_transformer_counts_what_python_counts(engine):
    for name in page.MODELS:
        engine.add(page.script(name))
        snn, image = page.network(name), page.pictures(name).images()[:1]
        trace = operations.trace(snn, image, 8, Masking(attention=0.5), seed=1)
        options = {"steps": 8, "seed": 1, "masking": {"attention": 0.5}}
        one = engine.run(name, image, **options)[0]
        assert one["totals"] == pytest.approx(asdict(trace.totals()), rel=1e-12)


def test_a_wrong_weight_would_be_seen(engine):
    ann = tiny(seed=1)
    other = copy.deepcopy(ann)
    other.layers[0].blocks[1].mlp.fc1_if.threshold.data *= 1.01
    engine.add(page.script("other", other))
    snn, images = page.network(ann), pictures(2, 2).double()
    options = {"steps": STEPS, "seed": 0, "masking": {}}
    assert compare(snn, engine, "other", images, options) == [0, 1]
    assert first_gap(snn, engine, "other", images, 0, options) > 1e-6


def test_records_each_layer_and_what_passes_its_mask(engine):
    ann = tiny(seed=2)
    engine.add(page.script("recorded", ann))
    snn, images = page.network(ann), pictures(1)
    layers, masking = list(snn.neurons), Masking(attention=0.5, mlp=0.25)
    ours = simulate(snn, images, STEPS, masking, seed=5, record=layers)
    options = {"steps": STEPS, "seed": 5, "masking": {"attention": 0.5, "mlp": 0.25}}
    spikes = engine.run("recorded", images, record=layers, **options)[0]["spikes"]
    for layer in layers:
        mine = ours.spikes[layer][:, 0]
        assert torch.equal(bits(spikes[layer], STEPS, mine.shape[1]), mine), layer
    masks = {"q_if": "q_mask", "k_if": "k_mask", "attn_if": "attn_mask"}
    masks |= {"shortcut2_if": "mlp.in_mask", "fc1_if": "hidden_mask"}
    checked = 0
    for layer in layers:
        place, last = layer.rsplit(".", 1)
        if last not in masks:
            assert f"{layer} delivered" not in spikes
            continue
        mask = snn.masks[f"{place}.{masks[last]}"]
        emitted = ours.spikes[layer][:, 0]
        ratio = 0.5 if mask.kind == "attention" else 0.25
        numbers = mask_numbers(5, mask.site, range(STEPS), [0], emitted.shape[1])[:, 0]
        passed = emitted & (numbers >= int(ratio * 2**24))
        assert torch.equal(bits(spikes[f"{layer} delivered"], STEPS, len(passed[0])), passed), layer
        checked += 1
    assert checked == 5 * 3


def test_attention_received_is_the_mean_of_the_weights(engine):
    ann = tiny(seed=3)
    engine.add(page.script("watched", ann))
    snn, images, seen = page.network(ann), pictures(1), []
    block = snn.net.blocks[1]  # the shifted one
    handle = block.attn.mix.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    simulate(snn, images, 4, chunk=4)
    handle.remove()
    weights = torch.cat(seen).view(4, -1, *seen[0].shape[1:])  # (T, windows, heads, N, N)
    by_window = weights.mean((2, 3)).flatten(1)
    expected = by_window[:, block.back]
    got = engine.run("watched", images, steps=4, watch=1)[0]["attention"]
    assert torch.tensor(got, dtype=torch.float64) == pytest.approx(expected, abs=1e-12)


def test_stops_early_where_python_does(engine):
    ann = tiny(seed=1)
    engine.add(page.script("early", ann))
    snn, images = page.network(ann), pictures(8, 4)
    rule = Confidence(margin=1.0, every=4)
    ours = simulate(snn, images, STEPS, until=rule)
    until = {"margin": 1.0, "every": 4}
    theirs = [len(one["logits"]) for one in engine.run("early", images, steps=STEPS, until=until)]
    assert theirs == ours.taken.tolist()
    assert len(set(theirs)) > 1


def test_masks_draw_the_library_s_numbers(engine):
    got = engine.evaluate(
        """() => {
            const { maskHead, maskNumber } = mstExplorers.engine;
            const units = (head) => Array.from({ length: 40 }, (_, unit) => maskNumber(head, unit));
            return [0, 5, 2**31 + 12].map((seed) => [0, 19].map((site) => [0, 63].map((step) =>
                [0, 49].map((image) => units(maskHead(seed, site, step, image))))));
        }"""
    )
    for s, seed in enumerate((0, 5, 2**31 + 12)):
        for i, site in enumerate((0, 19)):
            numbers = torch.stack(
                [mask_numbers(seed, site, range(t, t + 1), [0, 49], 40)[0] for t in (0, 63)]
            )
            assert got[s][i] == numbers.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number >= 1, not 0"),
        ({"steps": 2.5}, "steps must be a whole number >= 1, not 2.5"),
        ({"masking": {"mlp": 1}}, r"the mlp mask ratio must be in \[0, 1\), not 1"),
        ({"record": ["nowhere"]}, "no layer nowhere; there are patch_embed.proj_if"),
    ],
)
def test_bad_requests_are_named(engine, options, message):
    engine.add(page.script("named", tiny(seed=1)))
    with pytest.raises(Error, match=message):
        engine.run("named", pictures(1), **({"steps": 2} | options))


def test_an_image_of_the_wrong_size_and_a_broken_model_are_named(engine):
    engine.add(page.script("sized", tiny(seed=1)))
    with pytest.raises(Error, match="an image has 3·16·16 pixels, not 192"):
        engine.run("sized", pictures(1, side=8), steps=1)
    engine.evaluate(
        "mstExplorers.models.broken = {...mstExplorers.models.sized, tensors: {head: [3]}}"
    )
    with pytest.raises(Error, match="weights where the shapes say 3"):
        engine.evaluate("mstExplorers.engine.network(mstExplorers.models.broken)")
