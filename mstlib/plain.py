"""The reference: a spiking network as the paper describes it, one forward pass for each time step.

None of the engine's ways to be quick: norms are not folded, and neither time nor images are cut.
It is there to be read, to test `mstlib.simulate` against, and for ``make bench`` to time.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from mstlib.masking import Masking, RandomSpikeMask, set_masking
from mstlib.models.watching import watching
from mstlib.qcfs import QCFS
from mstlib.simulate import Run, check_images


class PlainIF(nn.Module):
    """Integrate-and-fire neurons that take one time step a call (Eq. 2 and 3).

    Attributes:
        threshold: θ, a scalar tensor.
        v: Membrane potential, shaped like the input; ``None`` before the first step.
    """

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.threshold = threshold.detach()
        self.v: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Input current of one step, any shape, to θ·spikes of the same shape."""
        theta = self.threshold
        v = x + (theta / 2 if self.v is None else self.v)
        spikes = (v >= theta).to(x.dtype)
        self.v = v - theta * spikes
        return theta * spikes


def plain_network(ann: nn.Module) -> nn.Module:
    """Copy a QCFS network and put a `PlainIF` in the place of each QCFS; nothing else changes."""
    net = copy.deepcopy(ann).eval().requires_grad_(False)
    nodes = {name: module for name, module in net.named_modules() if isinstance(module, QCFS)}
    if not nodes or any(node.levels is None for node in nodes.values()):
        raise ValueError("the plain loop needs a network with QCFS activations that have levels")
    for name, node in nodes.items():
        net.set_submodule(name, PlainIF(node.threshold))
    return net


def plain_loop(
    ann: nn.Module,
    images: Tensor,
    steps: int,
    masking: Masking | None = None,
    seed: int = 0,
    count: bool = True,
) -> Run:
    """Show images to the spiking form of a QCFS network, step by step (Eq. 2 and 3).

    Args:
        ann: A trained QCFS network, not converted; it is left as it is.
        images: ``(B, channels, height, width)``, normalised as in training.
        steps: T ≥ 1.
        masking: Random spike masking; ``None`` for none.
        seed: Seed of the masks.
        count: Count spikes; without, the run has no counts but what the masks delivered.

    Returns:
        A `Run`, equal to that of ``simulate(convert(ann), ...)`` up to rounding.

    Raises:
        ValueError: as in `simulate`, and where the network has no QCFS, or one without levels.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number >= 1, not {steps!r}")
    check_images(images, getattr(ann, "input_shape", None))
    return run_plain(plain_network(ann), images, steps, masking or Masking(), seed, count)


@torch.no_grad()
def run_plain(
    net: nn.Module, images: Tensor, steps: int, masking: Masking, seed: int, count: bool
) -> Run:
    """Run what `plain_network` made; the arguments are those of `plain_loop`, checked."""
    neurons = {name: m for name, m in net.named_modules() if isinstance(m, PlainIF)}
    masks = {name: m for name, m in net.named_modules() if isinstance(m, RandomSpikeMask)}
    set_masking(net, masking, seed)
    for neuron in neurons.values():
        neuron.v = None  # the next input starts at θ/2
    for mask in masks.values():
        mask.reset()
    images = images.to(next(iter(neurons.values())).threshold)
    by_neuron = {name: torch.zeros((), dtype=torch.long) for name in neurons if count}
    by_step: dict[str, list[Tensor]] = {name: [] for name in by_neuron}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        spikes = output.sign().reshape(len(images), -1).sum(0).long()
        by_neuron[name] = by_neuron[name] + spikes
        by_step[name].append(spikes.sum())

    logits = []
    with watching({neurons[name]: partial(note, name) for name in by_neuron}):
        for t in range(steps):
            for mask in masks.values():
                mask.begin(range(t, t + 1), range(len(images)))
            logits.append(net(images))  # the same image at every step
    stacked = {name: torch.stack(counts) for name, counts in by_step.items()}
    delivered = {name: int(mask.delivered) for name, mask in masks.items() if mask.ratio > 0}
    return Run(torch.stack(logits), by_neuron, stacked, delivered, {}, masking, seed)
