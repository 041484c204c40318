"""Images of a training: functions of seed, epoch and index, whoever makes them."""

import os
import random

import numpy as np
import pytest
import torch
from places import HELPERS
from tiny import pictures, tiny
from torch import distributed, nn

from mstlib.data import standins
from mstlib.models.layers import TokenNorm
from mstlib.scale.batches import (
    Plan,
    SampleError,
    Source,
    examples,
    load,
    number,
    open_source,
    seed_all,
    seeded,
)
from mstlib.scale.depth import stochastic_depth
from mstlib.scale.norms import SharedNorm, shared
from mstlib.scale.recipe import RecipeError, read

pytestmark = pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
RECIPE = str(HELPERS / "small.toml")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    standins.write("cifar10", folder, train=40, test=12)
    return folder


def _draw():
    return float(torch.rand(())), random.random(), float(np.random.rand())  # noqa: NPY002


def test_chance_is_set_and_put_back():
    seed_all(1)
    expected = _draw()
    seed_all(1)
    with seeded("a", 3):
        inside = _draw()
    assert _draw() == expected
    with seeded("a", 3):
        assert _draw() == inside
    with seeded("a", 4):
        assert not set(_draw()) & set(inside)
    assert number(1, 2) != number(12) != number("1", 2)


def test_a_sample_asks_nothing_of_devices(monkeypatch):
    """PyTorch's own seeding of all devices took longer than most images."""
    asked = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", asked.append)
    with seeded("a", 3):
        pass
    assert not asked
    seed_all(1)
    assert asked


def test_every_sample_is_in_one_update_of_an_epoch():
    plan = Plan(43, 8, 2, seed=0)
    assert plan.updates == 5
    epochs = {}
    for update in range(10):
        parts = plan.parts_of(update, first_epoch=7)
        assert [len(part) for part in parts] == [4, 4]
        for epoch, index, _ in [*parts[0], *parts[1]]:
            epochs.setdefault(epoch, []).append(index)
    assert sorted(epochs) == [7, 8]
    assert all(len(set(seen)) == 40 for seen in epochs.values())
    assert epochs[7] != epochs[8]
    assert Plan(43, 8, 2, seed=1).parts_of(0) != Plan(43, 8, 2, seed=0).parts_of(0)


def test_processes_share_an_update():
    (whole,) = Plan(43, 8, 1, seed=0).parts_of(3)
    halves = [Plan(43, 8, 1, seed=0, rank=rank, world=2).parts_of(3)[0] for rank in (0, 1)]
    assert halves == [whole[0::2], whole[1::2]]


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(RecipeError, match="must not be larger than the data set"):
        Plan(4, 8, 1, seed=0)
    with pytest.raises(RecipeError, match=r"multiple of 3 processes times 2 parts .* not 8"):
        Plan(40, 8, 2, seed=0, world=3)


def _same(one, two):
    return all(torch.equal(a[0], b[0]) and a[2] == b[2] for a, b in zip(one, two, strict=True))


def test_images_depend_on_nothing_but_seed_epoch_and_index(root):
    source = open_source(read(RECIPE), "train", root, augment=True)
    plan = Plan(40, 8, 2, seed=0)
    alone = list(load(source, plan, range(6)))
    assert _same(alone, list(load(source, plan, range(6), workers=2)))
    assert _same(alone[8:], list(load(source, plan, range(4, 6))))  # after an interruption
    other = list(load(source, Plan(40, 8, 2, seed=1), range(6)))
    assert not _same(alone, other)
    by_index = {}
    for rank in (0, 1):
        halves = Plan(40, 8, 1, seed=0, rank=rank, world=2)
        for images, _, rows in load(source, halves, range(1)):
            by_index |= dict(zip(rows, images, strict=True))
    for images, _, rows in alone[:2]:
        for image, row in zip(images, rows, strict=True):
            assert torch.equal(by_index[row], image)


def test_no_draw_of_the_recipes_policy_fails(root):
    """Pillow refuses what timm's policy of the published recipes draws once in some hundred."""
    source = open_source(read(RECIPE), "train", root, augment=True)
    with seeded(0):
        for _ in range(3000):
            source.image(0)


def test_an_image_is_another_one_in_another_epoch(root):
    source = open_source(read(RECIPE), "train", root, augment=True)
    plan = Plan(40, 40, 1, seed=0)
    shown = []
    for images, _, rows in load(source, plan, range(2)):
        epoch = len(shown)
        indices = [index for _, index, _ in plan.parts_of(epoch)[0]]
        assert rows == list(range(40))
        shown.append(dict(zip(indices, images, strict=True)))
    assert sum(torch.equal(shown[0][i], shown[1][i]) for i in range(40)) < 5
    plain = open_source(read(RECIPE), "train", root)
    assert torch.equal(plain.image(3), plain.image(3))


def test_plain_images_are_those_of_load(root):
    from mstlib.data import load as load_data

    source = open_source(read(RECIPE), "test", root)
    images, labels = load_data("cifar10", "test", root=root)
    order = examples(source, 12)
    assert torch.allclose(torch.stack([source.image(i) for i in range(12)]).sum(), images.sum())
    assert torch.equal(source.labels.sort().values, labels.sort().values)
    first, second = (examples(source, 12, share=slice(r, None, 2))[0] for r in (0, 1))
    assert torch.equal(torch.stack([first, second], 1).flatten(0, 1), order[0])
    images, labels = examples(source, 1, share=slice(1, None, 2))  # more processes than examples
    assert (images.shape, labels.shape) == ((0, 3, 32, 32), (0,))
    large = open_source(read(RECIPE, ["model.image_size=64"]), "test", root)
    assert large.image(0).shape == (3, 64, 64)


def test_recordings_become_frames_of_the_networks_size(tmp_path):
    standins.write("n-cars", tmp_path)
    changes = ["model.image_size=64", "model.window=4", "events.frames=2", "events.side=32"]
    with pytest.warns(UserWarning, match="n-cars"):
        source = open_source(read("n-cars", changes), "train", tmp_path, augment=True)
    plain = open_source(read("n-cars", changes), "train", tmp_path)
    assert plain.image(0).shape == (4, 64, 64)
    assert torch.equal(plain.image(0)[:, ::2, ::2], plain.image(0)[:, 1::2, 1::2])
    with seeded(1):
        first = source.image(0)
    with seeded(1):
        assert torch.equal(source.image(0), first)
    assert not torch.equal(first, plain.image(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_named(workers):
    def make(index):
        if index == 5:
            raise OSError("broken data stream")
        return torch.zeros(1, 2, 2)

    labels = torch.zeros(8, dtype=torch.long)
    source = Source("shells", "train", labels, make, lambda i: f"shell{i}.jpg")
    complaint = r"sample 5 of shells \(train\), shell5.jpg, cannot be read: OSError: broken"
    with pytest.raises(SampleError, match=complaint):
        list(load(source, Plan(8, 4, 1, seed=0), range(2), workers=workers))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_ends_the_training():
    def make(index):
        os._exit(3)

    source = Source("shells", "train", torch.zeros(8, dtype=torch.long), make, str)
    with pytest.raises(SampleError, match="a process that loads images died"):
        list(load(source, Plan(8, 4, 1, seed=0), range(2), workers=1))


def test_a_network_for_other_images_is_refused(root):
    with pytest.raises(RecipeError, match=r"takes images \(1, 32, 32\), and those of cifar10"):
        open_source(read(RECIPE, ["model.in_channels=1"]), "train", root)


def test_branches_are_skipped_in_training_only_and_on_average_not():
    model, images = tiny(), pictures()
    plain = model(images)
    with stochastic_depth(model, 0.5):
        assert torch.equal(model(images), plain)
        model.train()
        seen = []
        block = model.blocks[-1]
        handle = block.sum2.register_forward_hook(lambda m, i, out: seen.append((i, out)))
        torch.manual_seed(0)
        with torch.no_grad():
            model(images.repeat(100, 1, 1, 1))
        handle.remove()
    (_, branch), _ = seen[0]
    kept = branch.flatten(1).abs().sum(1) > 0
    assert 0.4 < kept.float().mean() < 0.6
    assert not model.blocks[0].sum1._forward_pre_hooks
    assert not model.blocks[-1].sum1._forward_pre_hooks


@pytest.fixture
def group(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def test_a_shared_norm_is_a_token_norm(group):
    """With one process its sums are the norm's own; two processes are tested where they train."""
    torch.manual_seed(0)
    plain, ours = TokenNorm(5).double(), SharedNorm(5).double()
    for norm in (plain, ours):
        nn.init.constant_(norm.weight, 1.3)
        nn.init.constant_(norm.bias, -0.2)
    x = torch.randn(6, 7, 5, dtype=torch.float64) * 3 + 1
    grads = []
    for norm in (plain, ours):
        given = x.clone().requires_grad_()
        out = norm(given)
        (out**3).sum().backward()
        grads.append((out.detach(), given.grad, norm.weight.grad, norm.bias.grad))
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, ours.state_dict()[name])
    assert torch.allclose(plain.eval()(x), ours.eval()(x))
    half = ours.train()(x.bfloat16())
    assert half.dtype == torch.bfloat16


def test_a_process_on_its_own_keeps_its_norms(group):
    model = nn.Sequential(TokenNorm(3))
    with shared(model):
        assert type(model[0]) is TokenNorm
