"""Hooks that last as long as a block: called, able to replace, and gone whatever happens."""

import pytest
import torch
from torch import nn

from mstlib.models.watching import watching

X = torch.tensor([[1.0, -2.0]])


@pytest.fixture
def net():
    return nn.Sequential(nn.ReLU(), nn.Flatten())


def hooked(net):
    return any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_each_hook_sees_its_layer(net):
    seen = []
    with watching({m: lambda m, inputs, out: seen.append((m, inputs[0], out)) for m in net}):
        net(X)
    (relu, x, y), (flatten, *_) = seen
    assert (relu, flatten) == tuple(net)
    assert torch.equal(x, X)
    assert torch.equal(y, X.relu())


def test_an_output_can_be_replaced_while_the_block_runs(net):
    with watching({net[0]: lambda m, inputs, out: out + 1}):
        assert torch.equal(net(X), X.relu() + 1)
    assert torch.equal(net(X), X.relu())


def test_before_sees_and_replaces_the_inputs(net):
    with watching({net[0]: lambda m, inputs: -inputs[0]}, before=True):
        assert torch.equal(net(X), (-X).relu())
    assert torch.equal(net(X), X.relu())


@pytest.mark.parametrize("before", [False, True])
def test_hooks_are_gone_after_a_failure(net, before):
    with watching(dict.fromkeys(net, lambda *a: None), before=before):
        assert hooked(net)
    hooks = dict.fromkeys(net, lambda *a: None)
    with pytest.raises(RuntimeError, match="half-way"), watching(hooks, before=before):
        raise RuntimeError("half-way")
    assert not hooked(net)


def test_a_layer_that_takes_no_hook_leaves_none_on_the_others(net, monkeypatch):
    def refuse(hook):
        raise RuntimeError("no hooks here")

    monkeypatch.setattr(net[1], "register_forward_hook", refuse)
    with (
        pytest.raises(RuntimeError, match="no hooks"),
        watching(dict.fromkeys(net, lambda *a: None)),
    ):
        pytest.fail("the block must not begin")
    assert not hooked(net)


def test_hooks_of_others_stay(net):
    theirs = net[0].register_forward_hook(lambda m, inputs, out: out + 1)
    with watching({net[0]: lambda m, inputs, out: out * 2}):
        assert torch.equal(net(X), (X.relu() + 1) * 2)
    assert torch.equal(net(X), X.relu() + 1)
    theirs.remove()
