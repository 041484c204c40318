"""A run that fails leaves no hook behind: the next one would be watched, or changed, in secret."""

import pytest
import torch
from failing import hooks_left
from tiny import pictures, tiny

import mstlib
from mstlib.analysis import distributions, ledger, operations, saliency
from mstlib.explorers import answers, walk
from mstlib.interop.neurobench import to_binary
from mstlib.interop.spikingjelly import run_spikingjelly, to_spikingjelly
from mstlib.masking import Masking
from mstlib.models.lesions import lesion
from mstlib.plain import plain_loop
from mstlib.qcfs import QCFS
from mstlib.scale.depth import stochastic_depth
from mstlib.train import Distillation, calibrate, distil, fit

X = pictures()


def run_in(context, net):
    with context:
        net(X)


OF_A_TRAINED_NETWORK = {
    "calibrate": lambda net: calibrate(net, X, 4),
    "fit": lambda net: fit(net, lambda epoch: [(X, torch.zeros(4).long())], 1, 2, 0.1, wake=0.5),
    "distil": lambda net: distil(net, Distillation("mst-digits", content=1.0)),
    "plain_loop": lambda net: plain_loop(net, X, 2),
    "lesion": lambda net: run_in(lesion(net, "scores"), net),
    "stochastic_depth": lambda net: run_in(stochastic_depth(net, 0.5), net),
    "activation": lambda net: saliency.activation(net, X, "layers.0.blocks.0.shortcut1_if"),
    "activations": lambda net: distributions.activations(net, X),
    "drift": lambda net: ledger.drift(net, mstlib.convert(net), X, 2),
    "dense_operations": lambda net: operations.dense_operations(net, X),
}
OF_A_CONVERTED_NETWORK = {
    "audit": lambda snn: mstlib.audit(snn, X, 2),
    "simulate": lambda snn: mstlib.simulate(snn, X, 2, record=["patch_embed.proj_if"]),
    "averages": lambda snn: ledger.ledger(snn, X, 2),
    "repair": lambda snn: ledger.repair(snn, X, 2, ["clipping"]),
    "potentials": lambda snn: distributions.potentials(snn, X, 2),
    "trace": lambda snn: operations.trace(snn, X, 2),
    "walk": lambda snn: walk.walk(snn, X, 2),
    "watch": lambda snn: answers.watch(snn, X[:1], 2, Masking(), 0, "patch_embed.proj_if", 0),
    "to_binary": lambda snn: to_binary(snn, 2),
}


@pytest.mark.parametrize("name", OF_A_TRAINED_NETWORK)
def test_nothing_is_left_on_a_trained_network(name, monkeypatch):
    net = tiny()
    assert not hooks_left(lambda: OF_A_TRAINED_NETWORK[name](net), monkeypatch)


@pytest.mark.parametrize("name", OF_A_CONVERTED_NETWORK)
def test_nothing_is_left_on_a_converted_network(name, monkeypatch):
    snn = mstlib.convert(tiny())
    assert not hooks_left(lambda: OF_A_CONVERTED_NETWORK[name](snn), monkeypatch)


def test_nothing_is_left_on_spikingjellys_neurons(monkeypatch):
    pytest.importorskip("spikingjelly", reason="runs SpikingJelly: install mstlib[interop]")
    net = to_spikingjelly(mstlib.convert(tiny()))
    assert not hooks_left(lambda: run_spikingjelly(net, X, 2), monkeypatch)


def test_a_calibration_that_failed_changes_no_threshold_of_a_later_run():
    net = tiny()
    before = [m.threshold.clone() for m in net.modules() if isinstance(m, QCFS)]
    with pytest.raises(RuntimeError):
        calibrate(net, pictures(channels=1), 4)
    with torch.no_grad():
        net(X / 4)
    after = [m.threshold for m in net.modules() if isinstance(m, QCFS)]
    assert all(map(torch.equal, before, after))
