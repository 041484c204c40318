"""The same networks from SpikingJelly's neurons: every spike the same."""

import pytest
import torch
from tiny import perceptron, pictures, tiny

import mstlib
from mstlib import Masking, data
from mstlib.checkpoints import data_set
from mstlib.interop.exchange import ExchangeError, Layer, compare
from mstlib.interop.spikingjelly import run_spikingjelly, to_spikingjelly
from mstlib.masking import set_masking

STEPS = 32


@pytest.mark.parametrize("name", ["mst-digits", "mst-events", "resnet-digits", "vgg-digits"])
def test_in_float64_every_spike_is_the_same(name):
    images = data.load(data_set(name), "test")[0][:3]
    snn = mstlib.convert(mstlib.load(name).double())
    ours, theirs = (
        mstlib.simulate(snn, images, STEPS),
        run_spikingjelly(to_spikingjelly(snn), images, STEPS),
    )
    assert theirs.spike_counts == ours.spike_counts
    torch.testing.assert_close(theirs.logits, ours.logits, rtol=0, atol=1e-12)
    assert sum(ours.spike_counts.values()) > 10_000


@pytest.mark.parametrize("name", ["mst-scenes", "resnet-digits"])
def test_in_float32_predictions_are_the_same_and_spikes_nearly(name):
    images = data.load(data_set(name), "test")[0][:10]
    snn = mstlib.convert(mstlib.load(name))
    theirs = run_spikingjelly(to_spikingjelly(snn), images, STEPS)
    found = compare(mstlib.simulate(snn, images, STEPS), theirs)
    assert theirs.logits.dtype == torch.float32
    assert found.same_predictions == found.images == 10
    assert found.total <= 0.001


def test_all_neurons_are_spikingjellys_and_start_at_half_their_threshold():
    from spikingjelly.activation_based import functional, neuron

    snn = mstlib.convert(tiny())
    net = to_spikingjelly(snn)
    layers = {name: m for name, m in net.named_modules() if isinstance(m, Layer)}
    assert list(layers) == list(snn.neurons)
    assert not any(isinstance(m, mstlib.neurons.IFNeuron) for m in net.modules())
    for name, layer in layers.items():
        assert isinstance(layer.node, neuron.HalfThresholdIFNode)
        assert layer.node.v_reset is None
        assert layer.node.v_threshold == float(snn.neurons[name].threshold)
        assert layer.node.v == layer.node.v_threshold / 2
    images = pictures()
    once = net(images)  # one step at a call, with state
    assert not torch.equal(net(images), once)
    functional.reset_net(net)
    assert torch.equal(net(images), once)


def test_runs_do_not_depend_on_runs_before():
    net = to_spikingjelly(mstlib.convert(tiny()))
    first = run_spikingjelly(net, pictures(), 8)
    run_spikingjelly(net, pictures(2, seed=5), 3)
    net(pictures())
    again = run_spikingjelly(net, pictures(), 8)
    assert torch.equal(first.logits, again.logits)
    assert first.spike_counts == again.spike_counts


def test_the_network_is_left_as_it_was_and_shares_its_weights():
    snn = mstlib.convert(tiny())
    before = mstlib.simulate(snn, pictures(), 8)
    net = to_spikingjelly(snn)
    run_spikingjelly(net, pictures(), 8)
    assert torch.equal(mstlib.simulate(snn, pictures(), 8).logits, before.logits)
    assert net.head.weight is snn.net.head.weight


def test_films_and_networks_of_another_kind():
    snn = mstlib.convert(tiny(attention="pure", final_norm="layer").double())
    films = pictures(6).view(2, 3, 3, 16, 16)
    theirs = run_spikingjelly(to_spikingjelly(snn), films, 12)
    assert compare(mstlib.simulate(snn, films, 12), theirs).exact
    snn = mstlib.convert(perceptron().double())
    images = pictures(channels=1, side=4)
    theirs = run_spikingjelly(to_spikingjelly(snn), images, 12)
    assert compare(mstlib.simulate(snn, images, 12), theirs).exact


def test_bad_input_is_named():
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        to_spikingjelly(tiny())
    snn = mstlib.convert(tiny())
    net = to_spikingjelly(snn)
    with pytest.raises(ExchangeError, match="no neurons of SpikingJelly"):
        run_spikingjelly(snn, pictures(), 4)
    with pytest.raises(ValueError, match=r"steps must be a whole number >= 1, not 2\.5"):
        run_spikingjelly(net, pictures(), 2.5)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\)"):
        run_spikingjelly(net, pictures(side=8), 4)
    set_masking(snn, Masking(attention=0.5))
    with pytest.raises(ExchangeError, match="masks are set"):
        to_spikingjelly(snn)
    with pytest.raises(ExchangeError, match="trained with Masking"):
        to_spikingjelly(mstlib.convert(mstlib.load("mst-digits-mlp-75")))
