"""Count operations while a network runs: a tally for each layer, filled by a hook on it.

A layer cannot tell spikes from real numbers at once. So a tally counts for either case, and what it
comes to is decided after the run (`mstlib.analysis.operations.LayerCount.of`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib.convert import SpikingNetwork
from mstlib.masking import RandomSpikeMask
from mstlib.models.layers import Product, ReadoutNorm, Sum
from mstlib.models.watching import watching


@dataclass
class Tally:
    """The growing counts of one layer."""

    name: str
    kind: str
    entrywise: tuple[int, int]  # multiplications and additions for one entry
    values: list[Tensor | None] = field(default_factory=list)  # of each input, the first not 0
    real: list[bool] = field(default_factory=list)  # whether there was another
    spikes: int = 0
    entries: int = 0
    dense: int = 0
    # Additions if input 0, input 1 or both of them are spikes.
    additions: list[int] = field(default_factory=lambda: [0, 0, 0])
    fans: dict[torch.Size, Tensor] = field(default_factory=dict)  # by the shape of the input

    def see(self, operand: int, x: Tensor) -> int:
        """Note whether an input is 0 or one other value, as spikes are; return its non-zeros."""
        if operand == len(self.values):
            self.values.append(None)
            self.real.append(False)
        some = int(torch.count_nonzero(x))
        if some and not self.real[operand]:
            value = x.amax()
            if self.values[operand] is None:
                self.values[operand] = value
            same = bool(value == self.values[operand]) and int((x == value).sum()) == some
            self.real[operand] = not same
        return some


def _entries(tally: Tally, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    tally.entries += inputs[0].numel()


def _weights(tally: Tally, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    (x,) = inputs
    arrived = tally.see(0, x)
    tally.spikes += arrived
    tally.dense += dense(module, inputs, output)
    if tally.kind == "linear":
        tally.additions[0] += arrived * module.out_features
    elif arrived:
        if x.shape[1:] not in tally.fans:
            tally.fans[x.shape[1:]] = fan_out(module, *x.shape[2:])
        fired = torch.count_nonzero(x, 0).double().cpu()
        tally.additions[0] += int((fired * tally.fans[x.shape[1:]]).sum())


def _products(tally: Tally, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    a, b = inputs  # (..., n, k) and (..., k, m)
    left, right = tally.see(0, a), tally.see(1, b)
    for some, real in zip((left, right), tally.real, strict=True):
        tally.spikes += 0 if real else some
    tally.dense += dense(module, inputs, output)
    pairs = torch.count_nonzero(a, -2) * torch.count_nonzero(b, -1)
    for which, more in enumerate((left * b.shape[-1], right * a.shape[-2], pairs.sum())):
        tally.additions[which] += int(more)


# How each kind of layer is counted; for one that works on each entry by itself, its multiplications
# and additions for one entry. The exponentials of a softmax are looked up; each weight is added to
# the sum, and divided by it.
_KINDS: tuple[tuple[tuple[type[nn.Module], ...], str, Callable[..., None], int, int], ...] = (
    ((nn.Linear,), "linear", _weights, 0, 0),
    ((nn.Conv2d,), "conv", _weights, 0, 0),
    ((Product,), "product", _products, 0, 0),
    ((_BatchNorm, ReadoutNorm), "norm", _entries, 1, 0),
    ((nn.Softmax,), "softmax", _entries, 1, 1),
    ((Sum,), "sum", _entries, 0, 1),
    ((nn.AvgPool2d, nn.AdaptiveAvgPool2d), "pool", _entries, 0, 1),
)


@contextmanager
def counting(snn: SpikingNetwork) -> Iterator[tuple[dict[str, Tally], dict[str, int]]]:
    """Count in every layer and at every mask while a ``with`` block runs.

    Yields:
        ``{layer: its tally}`` in order of execution, and ``{mask: spikes it dropped}``.
    """
    tallies: dict[str, Tally] = {}
    dropped: dict[str, int] = {}

    def note(tally: Tally, count: Callable[..., None], *call: object) -> None:
        count(tallies.setdefault(tally.name, tally), *call)

    def passed(name: str, mask: RandomSpikeMask, inputs: tuple[Tensor], output: Tensor) -> None:
        if mask.ratio > 0:
            lost = int(torch.count_nonzero(inputs[0])) - int(torch.count_nonzero(output))
            dropped[name] = dropped.get(name, 0) + lost

    hooks: dict[nn.Module, Callable[..., None]] = {}
    for name, module in snn.net.named_modules():
        if isinstance(module, RandomSpikeMask):
            hooks[module] = partial(passed, name)
        for types, kind, count, *entrywise in _KINDS:
            if isinstance(module, types):
                hooks[module] = partial(note, Tally(name, kind, tuple(entrywise)), count)
    with watching(hooks):
        yield tallies, dropped


def fan_out(conv: nn.Conv2d, height: int, width: int) -> Tensor:
    """Return how many outputs each input of a convolution reaches, ``(channels, height, width)``.

    At the border, and where the stride skips, an input reaches fewer. (Sum the outputs of the
    convolution with all weights 1: the gradient is the number of outputs that an input is in.)

    Raises:
        ValueError: the padding is not of zeros.
    """
    if conv.padding_mode != "zeros":
        raise ValueError(f"fan_out knows padding with 'zeros', not {conv.padding_mode!r}")
    with torch.enable_grad():
        x = torch.zeros(1, conv.in_channels, height, width, dtype=torch.float64, requires_grad=True)
        ones = torch.ones_like(conv.weight, dtype=torch.float64, device="cpu")
        geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)
        nn.functional.conv2d(x, ones, None, *geometry).sum().backward()
    return x.grad[0].round()


def dense(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Return the multiply–accumulates of a layer if nothing is known to be 0."""
    inner = inputs[0].shape[-1] if isinstance(module, Product) else module.weight[0].numel()
    return output.numel() * inner
