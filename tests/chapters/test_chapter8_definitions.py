"""What chapter 8 writes out in its plainest form agrees with the library."""

import copy

import torch
from reading import definition
from torch import fx, nn

from mstlib.masking import Masking, RandomSpikeMask, set_masking
from mstlib.models.tracing import spiking
from mstlib.qcfs import QCFS
from mstlib.train import calibrate

NAME = "08_beyond_transformers.ipynb"


def test_relu_to_qcfs_gives_each_call_its_own_neurons():
    block = definition(NAME, "Block", nn=nn)
    rewrite = definition(NAME, "relu_to_qcfs", fx=fx, copy=copy, QCFS=QCFS)
    torch.manual_seed(3)
    net, x = block(), torch.randn(2, 4, 8, 8)
    mine, theirs = rewrite(net, 4), spiking(net, (4, 8, 8), 4)
    assert torch.equal(mine(x), theirs(x))
    for rewritten in (mine, theirs):
        assert sum(isinstance(m, QCFS) for m in rewritten.modules()) == 2
    assert not isinstance(net.relu, QCFS)


def two_layers():
    """A convolution on the image, and one behind a mask."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3))
    net = spiking(nn.Sequential(*net, nn.ReLU(), nn.Conv2d(3, 2, 1)), (1, 8, 8))
    calibrate(net, torch.rand(64, 1, 8, 8), levels=8)
    return net


def currents(net, x, p, draws):
    """The mean output of the first masked convolution over many draws of the masks."""
    seen = []
    hook = net.graph.get_submodule("2").register_forward_hook(lambda m, i, y: seen.append(y))
    set_masking(net, Masking(conv=p), seed=5)
    with torch.no_grad():
        for _ in range(draws):
            net(x)
    set_masking(net, None)
    hook.remove()
    return torch.stack(seen).mean(0)


def test_rescaling_restores_the_mean_current_and_masks_alone_do_not():
    torch.manual_seed(0)
    net, x = two_layers(), torch.rand(4, 1, 8, 8)
    rescaled = definition(NAME, "rescaled", copy=copy, RandomSpikeMask=RandomSpikeMask)
    with torch.no_grad():
        repaired = rescaled(net, 0.5)
    wanted = currents(net, x, 0.0, 1)
    # Of each channel over all pixels, so that the noise of the draws averages out.
    off, left = (
        (currents(each, x, 0.5, 200) - wanted).mean((0, 2, 3)).abs().mean()
        for each in (net, repaired)
    )
    assert left < 0.15 * off


def test_statistics_measured_again_are_those_of_the_masked_network():
    torch.manual_seed(0)
    net, x = two_layers(), torch.rand(64, 1, 8, 8)
    again = definition(
        NAME, "remeasured", copy=copy, set_masking=set_masking, Masking=Masking, nn=nn
    )
    with torch.no_grad():
        fixed = again(net, 0.5, x)
    wanted = currents(net, x, 0.5, 50).mean((0, 2, 3))
    norm = fixed.graph.get_submodule("3")
    torch.testing.assert_close(norm.running_mean, wanted, rtol=0.05, atol=0.02)
    before = net.graph.get_submodule("3").running_mean
    assert (norm.running_mean - before).abs().max() > 0.05
    assert not fixed.training
