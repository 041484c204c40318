"""A converted network with SpikingJelly's neurons in the place of ours, and a runner for it.

SpikingJelly's ``HalfThresholdIFNode`` starts at θ/2 and takes θ off after a spike, as ours do; its
spikes are 0 and 1, so that a factor θ follows. All else is PyTorch's in both, and in float64 both
emit the same spikes, each of them.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mstlib.convert import SpikingNetwork
from mstlib.interop.exchange import ExchangeError, Layer, Outcome, frame, rebuild
from mstlib.models.watching import watching
from mstlib.simulate import check_shown


def to_spikingjelly(snn: SpikingNetwork) -> nn.Module:
    """Rebuild a converted network from SpikingJelly's neurons, for one time step at a call.

    Args:
        snn: A converted network, without masks; the weights are shared with it.

    Returns:
        A module from images ``(B, channels, height, width)`` to the logits of a step, with state:
        call SpikingJelly's ``functional.reset_net`` before the first step.

    Raises:
        TypeError: `snn` is not a converted network.
        ExchangeError: it has masks, was trained with masks, or has products that remember.
    """
    from spikingjelly.activation_based.neuron import HalfThresholdIFNode

    def layer(threshold: Tensor) -> Layer:
        return Layer(HalfThresholdIFNode(float(threshold), step_mode="s"), threshold)

    return rebuild(snn, layer)[0]


@torch.no_grad()
def run_spikingjelly(net: nn.Module, images: Tensor, steps: int) -> Outcome:
    """Run a network of SpikingJelly's neurons over time.

    Args:
        net: What `to_spikingjelly` returned.
        images: ``(B, channels, height, width)``, or films ``(B, n, channels, height, width)``, as
            for `mstlib.simulate`.
        steps: T ≥ 1; for films a multiple of n.

    Returns:
        The logits of each step, and the spikes of each layer.

    Raises:
        ExchangeError: the network has none of SpikingJelly's neurons.
        ValueError: no steps, or images of the wrong shape or with values that are not finite.
    """
    from spikingjelly.activation_based import functional

    layers = {name: m for name, m in net.named_modules() if isinstance(m, Layer)}
    if not layers:
        raise ExchangeError("no neurons of SpikingJelly in this network: see to_spikingjelly")
    check_shown(images, steps, getattr(net, "input_shape", None))
    images = images.to(next(iter(layers.values())).threshold)
    counts = dict.fromkeys(layers, 0)

    def note(name: str, module: nn.Module, inputs: object, spikes: Tensor) -> None:
        counts[name] += int(spikes.sum(dtype=torch.float64))

    functional.reset_net(net)
    try:
        with watching({layer.node: partial(note, name) for name, layer in layers.items()}):
            logits = torch.stack([net(frame(images, t, steps)) for t in range(steps)])
    finally:
        functional.reset_net(net)
    return Outcome(logits, counts)
