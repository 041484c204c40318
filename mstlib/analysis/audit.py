"""The audit: what really travels between the layers of a spiking network, edge by edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mstlib.convert import SpikingNetwork
from mstlib.masking import RandomSpikeMask
from mstlib.models.watching import watching
from mstlib.neurons import IFNeuron


@dataclass(frozen=True)
class Edge:
    """One input of one layer of a spiking network, and what travels on it.

    Attributes:
        layer: Name of the layer that receives it.
        operand: Which of its inputs.
        kind: "binary" (0 and 1), "scaled binary" (0 and one other value) or "real".
        shape: Shape for one image and one step.
    """

    layer: str
    operand: int
    kind: str
    shape: tuple[int, ...]


class Audit(list[Edge]):
    """The edges of a network, in order of execution; prints as a table."""

    def __repr__(self) -> str:
        width = max(len(edge.layer) for edge in self) + 2
        rows = (f"{e.layer:<{width}}{e.operand:>3}  {e.kind:<14}{e.shape}" for e in self)
        return "\n".join(rows)

    def kinds(self) -> dict[str, int]:
        """Count the edges of each kind."""
        return {k: sum(e.kind == k for e in self) for k in ("binary", "scaled binary", "real")}


@torch.no_grad()
def audit(snn: SpikingNetwork, images: Tensor | None = None, steps: int = 16) -> Audit:
    """Watch what really travels between the layers of a spiking network.

    Every layer but the neurons themselves is observed while the network runs, and each of its
    inputs classified by the values seen: a claim of "fully spiking" can be checked edge by edge.

    Args:
        snn: A converted network.
        images: ``(B, C, H, W)`` to run it on; two of Gaussian noise by default.
        steps: Time steps to watch.

    Returns:
        An `Audit`: one `Edge` for each input of each linear layer, convolution, normalisation,
        product, sum, softmax and pooling.
    """
    if images is None:
        if snn.input_shape is None:
            raise ValueError("this network does not say what images it takes: pass some")
        images = torch.randn(2, *snn.input_shape, generator=torch.Generator().manual_seed(0))
    images = images.to(next(iter(snn.neurons.values())).threshold)
    edges = Audit()

    def watch(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for operand, x in enumerate(inputs):
            edges.append(Edge(name, operand, signal_kind(x), tuple(x.shape[1:])))

    snn.reset()
    try:
        with watching({m: partial(watch, name) for name, m in _watched(snn.net)}, before=True):
            snn.advance(images, range(steps), range(len(images)))
    finally:
        snn.reset()
    return edges


def _watched(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    silent = (IFNeuron, RandomSpikeMask, nn.Identity, nn.Dropout, nn.Flatten)
    for name, module in net.named_modules():
        if not any(True for _ in module.children()) and not isinstance(module, silent):
            yield name, module


def signal_kind(x: Tensor) -> str:
    """Name what a signal is, by its values: "binary", "scaled binary" or "real"."""
    values = x.unique()
    if len(values) > 2 or (len(values) == 2 and 0 not in values):
        return "real"
    return "binary" if bool(((values == 0) | (values == 1)).all()) else "scaled binary"
