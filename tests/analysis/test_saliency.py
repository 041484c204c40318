"""Maps against their definitions, written out in loops; measures against cases known by hand."""

import math

import pytest
import torch
from scipy.stats import spearmanr
from tiny import perceptron, pictures, tiny

import mstlib
from mstlib.analysis import faithfulness, saliency
from mstlib.neurons import integrate_and_fire

FC2 = "layers.0.blocks.1.mlp.fc2_if"
LAST = "layers.1.blocks.0.mlp.fc2_if"


def random_spikes(*shape, rate=0.3, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate


# ---- spike activation maps ----


@pytest.mark.parametrize("gamma", [0.1, 0.5, 3.0])
def test_contributions_are_the_sum_over_earlier_spikes(gamma):
    spikes = random_spikes(12, 2, 5)
    scores = saliency.contributions(spikes, gamma)
    for t in range(12):
        wanted = torch.zeros(2, 5, dtype=torch.float64)
        for earlier in range(t):
            wanted += math.exp(-gamma * (t - earlier)) * spikes[earlier]
        torch.testing.assert_close(scores[t], wanted)


def test_the_present_spike_does_not_count_itself():
    one = torch.zeros(6, 1)
    one[2] = 1
    assert saliency.spike_activation_map(one).sum() == 0
    assert saliency.contributions(one, gamma=1.0).flatten().tolist() == pytest.approx(
        [0, 0, 0, math.exp(-1), math.exp(-2), math.exp(-3)]
    )


def test_a_regular_train_reaches_its_geometric_sum():
    # Current θ/4 from θ/2: a spike every fourth step.
    spikes, _ = integrate_and_fire(torch.full((400, 1), 0.25), 1.0)
    scores = saliency.contributions(spikes, gamma=0.5)
    assert scores[spikes[:, 0] == 1][-1].item() == pytest.approx(1 / (math.exp(0.5 * 4) - 1))


def test_short_intervals_score_higher_than_long_ones():
    burst, spread = torch.zeros(2, 16, 1)
    burst[:4], spread[::4] = 1, 1
    assert burst.sum() == spread.sum()
    assert (
        saliency.spike_activation_map(burst).sum() > 2 * saliency.spike_activation_map(spread).sum()
    )


def test_a_map_sums_over_channels_only():
    spikes = random_spikes(8, 3, 4, 4, 6)
    maps = saliency.spike_activation_map(spikes)
    assert maps.shape == (8, 3, 4, 4)
    apart = [saliency.spike_activation_map(spikes[..., k : k + 1]) for k in range(6)]
    torch.testing.assert_close(maps, sum(apart))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: saliency.contributions(torch.zeros(3, 1), 0), "gamma must be positive.*not 0"),
        (lambda: saliency.contributions(torch.zeros(3, 1), math.nan), "gamma .*not nan"),
        (lambda: saliency.contributions(torch.zeros(0, 1)), r"T >= 1, not \(0, 1\)"),
        (lambda: saliency.contributions(torch.full((3, 1), 0.7)), "divide by the threshold"),
    ],
)
def test_bad_spikes_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# ---- the map of tokens ----


def test_a_spot_on_the_image_appears_at_its_token():
    ann = tiny()
    spot = torch.zeros(1, 3, 16, 16)
    spot[0, :, 4:8, 8:12] = 3  # row 1, column 2 of 4×4 patches
    both = torch.cat([spot, 0 * spot])
    run = mstlib.simulate(mstlib.convert(ann), both, 32, record=["patch_embed.proj_if"])
    tokens = saliency.token_spikes(run, mstlib.convert(ann), "patch_embed.proj_if").double()
    assert tokens.shape == (32, 2, 4, 4, 12)
    moved = (tokens[:, 0] - tokens[:, 1]).abs().sum((0, -1))
    assert moved.nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize("layer", [FC2, LAST, "layers.0.downsample.reduction_if"])
def test_spikes_and_activations_share_one_layout(layer):
    ann = tiny(levels=8).double()
    images, snn = pictures(6).double(), mstlib.convert(ann)
    run = mstlib.simulate(snn, images, 256, record=[layer])
    rate = saliency.token_spikes(run, snn, layer).double().mean(0)
    wanted = saliency.activation(ann, images, layer)
    assert rate.shape == wanted.shape
    # What is left of each channel without its mean can only agree token by token.
    rate, wanted = (x - x.mean((0, 1, 2)) for x in (rate, wanted))
    with_it, turned = (
        torch.corrcoef(torch.stack([r.flatten(), wanted.flatten()]))[0, 1]
        for r in (rate, rate.transpose(1, 2))
    )
    assert with_it > 0.5  # conversion errors blur the deeper layers
    assert turned < with_it - 0.3


def test_layers_without_a_map_are_refused():
    ann = tiny()
    snn = mstlib.convert(ann)
    run = mstlib.simulate(snn, pictures(1), 2, record=["layers.0.blocks.0.attn.proj_if"])
    with pytest.raises(ValueError, match=r"recorded .*proj_if.* not 'head'"):
        saliency.token_spikes(run, snn, "head")
    with pytest.raises(ValueError, match="inside an attention"):
        saliency.token_spikes(run, snn, "layers.0.blocks.0.attn.proj_if")
    with pytest.raises(ValueError, match=r"no layer 'layers\.0\.nothing'"):
        saliency.activation(ann, pictures(1), "layers.0.nothing")
    with pytest.raises(ValueError, match="Sequential has no tokens"):
        saliency.activation(perceptron(), torch.randn(1, 1, 4, 4), "2")


# ---- Score-CAM ----


def test_score_cam_is_its_definition():
    ann, images = tiny().double(), pictures(3).double()
    classes = ann(images).argmax(-1)
    maps = saliency.score_cam(ann, images, classes, FC2, batch_size=5)
    assert (maps.amax((1, 2)) > 0).all()
    activations = saliency.activation(ann, images, FC2)
    with torch.no_grad():
        blank = ann(torch.zeros(1, 3, 16, 16).double()).softmax(-1)[0]
        for b in range(3):
            total = torch.zeros(4, 4, dtype=torch.float64)
            for k in range(activations.shape[-1]):
                a = activations[b, :, :, k]
                up = torch.nn.functional.interpolate(a[None, None], (16, 16), mode="bilinear")[0, 0]
                if up.max() == up.min():
                    continue
                mask = (up - up.min()) / (up.max() - up.min())
                gain = ann((images[b] * mask)[None]).softmax(-1)[0] - blank
                total += gain[classes[b]] * a
            torch.testing.assert_close(maps[b], total.clamp(min=0))


def test_score_cam_depends_on_the_class():
    ann, images = tiny().double(), pictures(3).double()
    best, second = ann(images).topk(2).indices.T
    one, other = (saliency.score_cam(ann, images, classes, FC2) for classes in (best, second))
    assert (faithfulness.agreement(one, other) < 0.99).all()
    with pytest.raises(ValueError, match=r"classes must be \(3,\), not \(2,\)"):
        saliency.score_cam(ann, images, torch.zeros(2, dtype=torch.long), FC2)


# ---- maps that know nothing ----


def test_baselines_show_what_they_say():
    pixels = torch.zeros(1, 3, 16, 16)
    pixels[0, :, 4:8, 8:12] = 1
    bright = saliency.brightness(pixels, 4)[0]
    assert bright[1, 2] == bright.sum() == 1
    edge = saliency.edges(pixels, 16)[0]
    assert edge[5, 9] == 0  # inside
    assert edge[5, 8] > 0.3  # at the rim
    assert edge[12, 3] == 0
    middle = saliency.centre(2, 4)
    assert middle.shape == (2, 4, 4)
    assert middle[0].argmax() in (5, 6, 9, 10)


# ---- measures ----

MAP = torch.tensor([[[0.0, 1.0], [3.0, 4.0]]])
MASK = torch.tensor([[[False, False], [True, True]]])


def test_measures_on_a_map_of_four_places():
    assert faithfulness.hits(MAP, MASK).tolist() == [1]
    assert faithfulness.hits(MAP, ~MASK).tolist() == [0]
    assert faithfulness.energy(MAP, MASK).tolist() == [7 / 8]
    assert faithfulness.overlap(MAP, MASK).tolist() == [1]
    assert faithfulness.overlap(MAP.flip(1), MASK).tolist() == [0]
    half = torch.tensor([[[False, True], [False, True]]])
    assert faithfulness.overlap(MAP, half).tolist() == pytest.approx([1 / 3])


def test_ties_share_the_hit():
    flat = torch.ones(1, 2, 2)
    three = torch.tensor([[[True, True], [True, False]]])
    assert faithfulness.hits(flat, three).tolist() == [0.75]
    assert faithfulness.energy(0 * flat, three).tolist() == [0.75]


def test_agreement_is_spearmans():
    draw = torch.Generator().manual_seed(3)
    a, b = torch.randint(5, (2, 6, 4, 4), generator=draw).double()  # many ties
    wanted = [spearmanr(x.flatten(), y.flatten())[0] for x, y in zip(a, b, strict=True)]
    assert faithfulness.agreement(a, b).tolist() == pytest.approx(wanted)
    assert faithfulness.agreement(a, a**3).tolist() == pytest.approx([1] * 6)
    assert faithfulness.agreement(a, -a).tolist() == pytest.approx([-1] * 6)
    assert faithfulness.agreement(a, torch.ones_like(a)).tolist() == [0] * 6


def test_curves_of_a_score_that_adds_up():
    draw = torch.Generator().manual_seed(4)
    worth = torch.rand(3, 4, 4, generator=draw)
    pixels = torch.nn.functional.interpolate(worth[:, None], scale_factor=2)

    def score(images, classes):
        return images.sum((1, 2, 3)) / pixels.sum((1, 2, 3))

    images, classes = pixels, torch.zeros(3, dtype=torch.long)
    best = faithfulness.curves(score, images, classes, worth, points=17)
    worst = faithfulness.curves(score, images, classes, -worth, points=17)
    deleted, inserted = best
    assert deleted.shape == inserted.shape == (17, 3)
    torch.testing.assert_close(deleted[0], torch.ones(3))
    torch.testing.assert_close(deleted[-1], torch.zeros(3))
    torch.testing.assert_close(deleted + inserted, torch.ones(17, 3))  # what is gone is not there
    highest = worth.flatten(1).amax(1) / worth.sum((1, 2))
    torch.testing.assert_close(inserted[1], highest)
    assert (faithfulness.area(inserted) > faithfulness.area(worst[1]) + 0.1).all()
    torch.testing.assert_close(faithfulness.area(torch.ones(5, 2)), torch.ones(2).double())
    line = torch.linspace(0, 1, 9)[:, None]
    assert faithfulness.area(line).item() == pytest.approx(0.5)


def test_mean_and_its_error():
    mean, error = faithfulness.mean_and_error(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert mean == 2.5
    assert error == pytest.approx(math.sqrt(5 / 3) / 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: faithfulness.hits(MAP[0], MASK[0]), r"\(B, h, w\) and equal"),
        (lambda: faithfulness.agreement(MAP, torch.ones(1, 4, 4)), r"not \(1, 2, 2\) and \(1, 4"),
        (lambda: faithfulness.energy(-MAP, MASK), "must not be negative"),
        (lambda: faithfulness.overlap(MAP * math.nan, MASK), "NaN or infinite"),
        (lambda: faithfulness.mean_and_error(torch.ones(1)), "at least two"),
        (
            lambda: faithfulness.curves(None, torch.ones(1, 3, 6, 6), None, torch.ones(1, 4, 4)),
            r"maps \(1, 4, 4\) do not fit images",
        ),
        (lambda: faithfulness.curves(None, MAP, None, MAP, points=1), "at least 2 points, not 1"),
    ],
)
def test_bad_maps_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
