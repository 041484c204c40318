"""Training: it learns, it keeps its promises on θ, and it goes on where it was stopped."""

import json
import os
import signal
import time
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from interrupted import child, ended
from small import SMALL, same
from tiny import SHAPE, perceptron, pictures, tiny

from mstlib import Masking, data
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig, WindowAttention
from mstlib.qcfs import QCFS
from mstlib.train import (
    RECIPES,
    accuracy,
    calibrate,
    fit,
    initialise,
    jitter,
    positive_thresholds,
    teach,
    train,
)


def four_colours(epoch, n=128, batch=16):
    """Noise tinted red, green, blue or not at all: an easy problem of four classes."""
    draw = torch.Generator().manual_seed(epoch)
    labels = torch.randint(4, (n,), generator=draw)
    tints = torch.cat([torch.eye(3), torch.zeros(1, 3)])
    images = 0.3 * torch.randn(n, 3, 16, 16, generator=draw) + tints[labels, :, None, None]
    yield from zip(images.split(batch), labels.split(batch), strict=True)


def new(levels=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MaskedSpikingTransformer(SwinConfig(**SHAPE, classes=4, levels=levels))
        initialise(model)
    return model


def test_relu_then_thresholds_then_qcfs_learns_an_easy_problem():
    model = new()
    images, labels = next(four_colours(99, n=128, batch=128))
    losses = fit(model, four_colours, 4, 8, 5e-3)
    assert losses[-1] < 0.5 * losses[0]
    calibrate(model, images, levels=4)
    with positive_thresholds(model, score_cap=4.0):
        more = fit(model, lambda epoch: four_colours(epoch + 4), 2, 8, 2e-3)
    assert more[-1] < losses[0]
    assert accuracy(model, images, labels) > 0.9
    assert not model.training


def test_thresholds_stay_positive_and_those_of_scores_below_their_cap():
    model = new(levels=4)
    nodes = {n: m for n, m in model.named_modules() if isinstance(m, QCFS)}
    names = [n for n, _ in model.named_parameters()]
    for node in nodes.values():
        node.threshold.data.fill_(0.1)
    model.layers[0].blocks[0].attn.attn_if.threshold.data.fill_(9.0)
    model.layers[0].blocks[0].attn.v_if.threshold.data.fill_(9.0)
    with positive_thresholds(model, score_cap=4.0):
        fit(model, four_colours, 1, 8, rate=2.0)  # a rate that throws everything about
        inside = {n: float(m.threshold.detach()) for n, m in nodes.items()}
    after = {n: float(m.threshold.detach()) for n, m in nodes.items()}
    assert after == inside
    assert min(after.values()) > 0
    assert max(v for n, v in after.items() if n.endswith("attn_if")) <= 4.0
    assert after["layers.0.blocks.0.attn.v_if"] > 4.0
    assert len({round(v, 3) for v in after.values()}) > 10  # they did move
    assert [n for n, _ in model.named_parameters()] == names


def test_pure_attention_has_no_cap():
    model = tiny(attention="pure")
    node = model.layers[0].blocks[0].attn.attn_if
    node.threshold.data.fill_(9.0)
    with positive_thresholds(model, score_cap=4.0):
        assert float(node.threshold.detach()) == pytest.approx(9.0)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    first = train(SMALL, seed=1)
    assert same(first, train(SMALL, seed=1))
    assert not same(first, train(SMALL, seed=2))
    assert first.config.levels == SMALL.levels
    assert not first.training
    assert first.trained_masking is None


def _stop_in(monkeypatch, part, epoch):
    """Let the training break off in the middle of an epoch (1, 2, …) of a part (0 or 1)."""
    real = teach.batches_of

    def batches(recipe, seed):
        whole = real(recipe, seed)

        def stopping(number):
            for i, batch in enumerate(whole(number)):
                if number == part * recipe.relu_epochs + epoch - 1 and i == 1:
                    raise KeyboardInterrupt
                yield batch

        return stopping

    monkeypatch.setattr(teach, "batches_of", batches)


@pytest.mark.parametrize("masking", [None, Masking(attention=0.25)], ids=["whole", "masked"])
@pytest.mark.parametrize(("part", "epoch"), [(0, 1), (0, 2), (1, 1), (1, 2)])
def test_a_training_that_was_stopped_ends_at_the_same_weights(tmp_path, part, epoch, masking):
    recipe = replace(SMALL, masking=masking)
    whole = train(recipe, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        _stop_in(patch, part, epoch)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, seed=1, state=tmp_path / "state")
    torch.manual_seed(12345)  # the new process starts from anywhere
    resumed = train(recipe, seed=1, state=tmp_path / "state")
    assert same(whole, resumed)
    assert resumed.trained_masking == masking
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_training_does_not_start_over(tmp_path):
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        _stop_in(patch, 0, 2)
        with pytest.raises(KeyboardInterrupt):
            train(SMALL, state=tmp_path / "state")
    real = teach.batches_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            teach, "batches_of", lambda *a: lambda epoch: seen.append(epoch) or real(*a)(epoch)
        )
        train(SMALL, state=tmp_path / "state")
    assert seen == [1, 2, 3]


def test_a_training_that_was_killed_ends_at_the_same_weights(tmp_path):
    recipe = replace(SMALL, qcfs_epochs=10_000)
    pid = child(partial(train, recipe, seed=1, state=tmp_path / "state"))
    while not (tmp_path / "state.QCFS.pt").exists():
        assert ended(pid) == (False, 0)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    kept = torch.load(tmp_path / "state.QCFS.pt", weights_only=True)
    epochs = len(kept["losses"])
    assert epochs >= 1
    seen, real = [], teach.batches_of

    class Enough(Exception):
        pass

    def until(last):
        def batches(*arguments):
            def epoch_of(epoch):
                if epoch == last:
                    raise Enough
                seen.append(epoch)
                return real(*arguments)(epoch)

            return epoch_of

        return batches

    ends = []
    for folder in (tmp_path, tmp_path / "fresh"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(teach, "batches_of", until(SMALL.relu_epochs + epochs + 2))
            with pytest.raises(Enough):
                train(recipe, seed=1, state=folder / "state")
        ends.append(torch.load(folder / "state.QCFS.pt", weights_only=True)["model"])
    assert seen[:2] == [SMALL.relu_epochs + epochs, SMALL.relu_epochs + epochs + 1]
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[1])


def test_a_lasting_lesion_lasts_through_training():
    """Silenced scores get no gradient in either part: their weights only decay."""
    recipe = replace(SMALL, lesion="scores", wake=0.0, weight_decay=0.0)
    model = train(recipe, seed=1)
    torch.manual_seed(1)
    start = MaskedSpikingTransformer(SwinConfig(**recipe.model, levels=None))
    initialise(start)
    for a, b in zip(model.blocks, start.blocks, strict=True):
        width = a.attn.qkv.in_features
        queries_and_keys, values = slice(0, 2 * width), slice(2 * width, None)
        after, before = a.attn.qkv.weight, b.attn.qkv.weight
        assert torch.equal(after[queries_and_keys], before[queries_and_keys])
        assert not torch.equal(after[values], before[values])


@pytest.mark.parametrize(("percentile", "expected"), [(100, 99.0), (50, 49.0), (1, 0.5)])
def test_calibration_takes_a_percentile_of_what_each_relu_puts_out(percentile, expected):
    net = torch.nn.Sequential(QCFS(levels=None))
    values = torch.arange(100.0)
    values[0] = 0.5
    calibrate(net, values[torch.randperm(100)].view(4, 5, 5, 1), 6, percentile)
    assert float(net[0].threshold.detach()) == expected
    assert net[0].levels == 6
    assert not net[0]._forward_hooks


def test_calibration_of_a_dead_relu_leaves_a_positive_threshold():
    net = torch.nn.Sequential(QCFS(levels=None))
    calibrate(net, -torch.ones(2, 1, 4, 4), 8)
    assert float(net[0].threshold.detach()) > 0


def test_each_layer_is_measured_on_relu_outputs_alone():
    """The first layer's quantisation must not disturb the measurement of the second."""
    net = perceptron(levels=None)
    x = pictures(200, channels=1, side=4)
    with torch.no_grad():
        inner = net[5](net[4](net[3](net[2](net[1](net[0](x))))))
    calibrate(net, x, 2, 100)
    assert float(net[5].threshold.detach()) == float(inner.max())


def test_jitter_keeps_shape_and_range_and_moves_each_image_its_own_way():
    images, _ = data.load("digits", "train", 8)
    out = jitter(images, torch.Generator().manual_seed(0))
    assert (out.shape, out.dtype) == (images.shape, images.dtype)
    assert float(out.min()) >= float(images.min()) - 1e-5
    assert float(out.max()) <= float(images.max()) + 1e-5
    assert torch.equal(out, jitter(images, torch.Generator().manual_seed(0)))
    copies = jitter(images[:1].expand(8, -1, -1, -1), torch.Generator().manual_seed(0))
    assert all(not torch.equal(copies[0], other) for other in copies[1:])
    centre = jitter(torch.ones(5, 1, 32, 32), torch.Generator().manual_seed(0))
    torch.testing.assert_close(centre, torch.ones_like(centre))  # the border goes on


def test_queries_and_keys_start_at_half():
    model = new()
    for module in model.modules():
        if isinstance(module, WindowAttention):
            q, k, v = (w.std() for w in module.qkv.weight.detach().chunk(3))
            assert float(q / v) == pytest.approx(0.5, rel=0.2)
            assert float(k / v) == pytest.approx(0.5, rel=0.2)


def test_accuracy_counts_right_answers():
    images, _ = next(four_colours(0, n=10, batch=10))
    model = new(levels=4)
    with torch.no_grad():
        answers = model.eval()(images).argmax(-1)
    assert accuracy(model.train(), images, answers, batch_size=3) == 1.0
    assert accuracy(model, images, (answers + 1) % 4) == 0.0
    answers[:3] = (answers[:3] + 1) % 4
    assert accuracy(model, images, answers) == 0.7


def test_recipes_are_plain_values():
    for name, recipe in RECIPES.items():
        assert name.endswith(recipe.data) or "events" in name
        assert json.loads(json.dumps(asdict(recipe)))["data"] == recipe.data
