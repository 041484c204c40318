"""Who is timed: each gives a function that shows all images for all steps, ready to be called.

All of them do the work of one network on the same images. Converting, copying and tuning come
before the clock starts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

import mstlib
from benchmark.floor import Floor
from mstlib.convert import _fold
from mstlib.masking import Masking
from mstlib.plain import plain_network, run_plain
from mstlib.qcfs import QCFS

Work = Callable[[], Tensor | None]  # gives logits (T, B, classes); the floor computes none


def engine(ann: nn.Module, images: Tensor, steps: int, masking: Masking | None = None) -> Work:
    """Prepare `mstlib.simulate`."""
    snn = mstlib.convert(ann)
    return lambda: mstlib.simulate(snn, images, steps, masking).logits


def loop(ann: nn.Module, images: Tensor, steps: int, count: bool = True) -> Work:
    """Prepare one forward pass a step, with the spikes counted as the engine counts them."""
    net = plain_network(ann)
    return lambda: run_plain(net, images, steps, Masking(), 0, count).logits


def bare_loop(ann: nn.Module, images: Tensor, steps: int) -> Work:
    """Prepare one forward pass a step, and nothing else."""
    return loop(ann, images, steps, count=False)


def spikingjelly(ann: nn.Module, images: Tensor, steps: int) -> Work:
    """Prepare SpikingJelly's multi-step neurons in the same network, all steps in one call.

    Its BatchNorms are folded, as SpikingJelly's own converter does. No spikes are counted.
    """
    from spikingjelly.activation_based import functional, neuron

    class Node(nn.Module):
        def __init__(self, threshold: Tensor) -> None:
            super().__init__()
            self.threshold = float(threshold)
            self.node = neuron.HalfThresholdIFNode(v_threshold=self.threshold, step_mode="m")

        def forward(self, x: Tensor) -> Tensor:
            return self.node(x.unflatten(0, (steps, -1))).flatten(0, 1) * self.threshold

    net = copy.deepcopy(ann).eval().requires_grad_(False)
    for module in list(net.modules()):
        _fold(module)
    for name, module in list(net.named_modules()):
        if isinstance(module, QCFS):
            net.set_submodule(name, Node(module.threshold))

    @torch.no_grad()
    def run() -> Tensor:
        functional.reset_net(net)
        return net(images.repeat(steps, 1, 1, 1)).unflatten(0, (steps, -1))

    return run


CONTESTANTS: dict[str, Callable[..., Work]] = {
    "engine": engine,
    "loop": loop,
    "bare loop": bare_loop,
    "spikingjelly": spikingjelly,
    "floor": Floor,
}


def present() -> list[str]:
    """Return the names of those that can run here."""
    return [n for n in CONTESTANTS if n != "spikingjelly" or find_spec("spikingjelly")]
