"""How the values of a spiking layer are spread, against the activations they stand for (Fig. 3).

The values are average postsynaptic potentials θN_T/T, in units of θ: what a layer passes on, and
what an activation is to be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mstlib.analysis.ledger import averages
from mstlib.convert import SpikingNetwork
from mstlib.models.watching import watching
from mstlib.neurons import IFNeuron
from mstlib.qcfs import QCFS


@torch.no_grad()
def activations(ann: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the activations of a QCFS network in units of θ, all images and neurons of a layer.

    Args:
        ann: The network, in evaluation mode.
        images: ``(B, channels, height, width)``, normalised as in training.

    Returns:
        ``{layer: (B·neurons,)}``, in float64, in order of execution.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, node: QCFS, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = (output.double() / node.threshold.double()).flatten()

    nodes = {m: partial(keep, name) for name, m in ann.named_modules() if isinstance(m, QCFS)}
    with watching(nodes):
        ann(images.to(next(ann.parameters())))
    return seen


def potentials(
    snn: SpikingNetwork, images: Tensor, steps: int | Sequence[int]
) -> dict[int, dict[str, Tensor]]:
    """Return the average postsynaptic potentials N_T/T of a spiking network, in units of θ.

    Args:
        snn: A converted network; it is run without masks.
        images: ``(B, channels, height, width)``, normalised as in training.
        steps: T, or several, increasing: one run serves all.

    Returns:
        ``{T: {layer: (B·neurons,)}}``, in float64, the values in the order of `activations`.

    Raises:
        ValueError: steps that are not whole numbers from 1 up, increasing; or bad images.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for taken, name, neuron, (_, mean) in averages(
        snn, images, steps, batch_size=len(images), kinds=(IFNeuron,)
    ):
        found.setdefault(taken, {})[name] = (mean / neuron.threshold.double()).flatten()
    return found


def distance(a: Tensor, b: Tensor) -> float:
    """Return the Wasserstein distance of two samples of one size: how far values have to move.

    Sort both; the smallest has then to become the smallest, and so on. The mean of these moves is
    the least there is.

    Args:
        a: ``(n,)``.
        b: ``(n,)``.

    Raises:
        ValueError: the samples differ in size, or are empty.
    """
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(
            f"two samples of one size are needed, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    return float((a.double().sort().values - b.double().sort().values).abs().mean())


def shares(values: Tensor, levels: int) -> Tensor:
    """Return which share of the values is nearest to 0, 1/L, 2/L, …, 1: the levels of QCFS.

    Args:
        values: ``(n,)``, in units of θ; below 0 counts as 0, above 1 as 1.
        levels: L ≥ 1.

    Returns:
        ``(levels + 1,)``, in float64, with sum 1.

    Raises:
        ValueError: L < 1, or no values.
    """
    if levels < 1:
        raise ValueError(f"levels must be a whole number >= 1, not {levels}")
    if values.numel() == 0:
        raise ValueError("shares of no values are not defined")
    nearest = (values.double() * levels + 0.5).floor().clamp(0, levels).long()
    return torch.bincount(nearest.flatten(), minlength=levels + 1).double() / nearest.numel()
