"""The floor: the matrix products of a network and nothing else, as quick as PyTorch makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mstlib.plain import plain_network

BLOCKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # images times steps in one product


@dataclass(frozen=True)
class Product:
    """A matrix product that one forward pass made, for one image and one step.

    Attributes:
        kind: "addmm", "mm", "bmm" or "convolution".
        shapes: Of its operands, the bias aside.
        options: What else a convolution was told (strides and so on).
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    options: tuple = ()


class _Recorder(TorchDispatchMode):
    """Notes every matrix product that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(
        self, op: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kind = op._schema.name.removeprefix("aten::")
        operands = [a for a in args if isinstance(a, Tensor)]
        if kind == "addmm":
            operands = operands[1:]
        if kind in ("addmm", "mm", "bmm"):
            self.products.append(Product(kind, tuple(tuple(x.shape) for x in operands)))
        elif kind == "convolution":
            shapes = tuple(tuple(x.shape) for x in operands[:2])
            options = (tuple(a) if isinstance(a, list) else a for a in args[3:])
            self.products.append(Product(kind, shapes, tuple(options)))
        return op(*args, **(kwargs or {}))


@torch.no_grad()
def products(ann: nn.Module) -> list[Product]:
    """Return the matrix products of one image and one step, in order."""
    net = plain_network(ann)
    with _Recorder() as recorder:
        net(torch.zeros(1, *ann.input_shape))
    return recorder.products


class Floor:
    """All matrix products of a run: called, it computes them and throws them away.

    The operands of a block of images and steps are allocated once, and serve for every block. Both
    the size of the blocks and, for each product, the quickest of the ways to compute it are found
    by trying, before the clock starts.

    Attributes:
        block: Images times steps in one block.
        ways: ``{way: number of products computed so}``.
    """

    def __init__(self, ann: nn.Module, images: Tensor, steps: int) -> None:
        total = len(images) * steps
        made = products(ann)
        blocks = [n for n in BLOCKS if total % n == 0]
        self.block = min(blocks, key=lambda n: sum(_quickest(p, n)[1] for p in made) / n)
        names = [_quickest(product, self.block)[0] for product in made]
        self.ways = {way: names.count(way) for way in sorted(set(names))}
        self._work = [
            _ways(product, self.block)[way] for product, way in zip(made, names, strict=True)
        ]
        self._repeats = total // self.block

    @torch.no_grad()
    def __call__(self) -> None:
        """Compute every product."""
        for _ in range(self._repeats):
            for work in self._work:
                work()


@cache
@torch.no_grad()
def _quickest(product: Product, block: int) -> tuple[str, float]:
    """Try the ways to compute a product for a block; return the best and its seconds."""
    trials = {}
    for way, work in _ways(product, block).items():
        work()
        trials[way] = min(_seconds(work) for _ in range(3))
    return min(trials.items(), key=lambda trial: trial[1])


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ways(product: Product, block: int) -> dict[str, Callable]:
    """Return the ways to compute a product for a block of images and steps."""
    (first, *rest), second = product.shapes
    a = torch.randn(block * first, *rest)
    if product.kind == "convolution":
        w, b = torch.randn(second), torch.randn(second[0])
        return {"convolution": lambda: torch.convolution(a, w, b, *product.options)}
    if product.kind == "bmm":
        b = torch.randn(block * second[0], *second[1:])
        out = torch.empty(len(a), a.shape[1], b.shape[2])
        return {"bmm": lambda: torch.bmm(a, b, out=out)}
    # Weights as linear layers keep them, (outputs, inputs).
    w, b = torch.randn(second[::-1]), torch.randn(second[1])
    out = torch.empty(len(a), second[1])
    ways: dict[str, Callable] = {"addmm": lambda: torch.addmm(b, a, w.T, out=out)}
    # oneDNN, which on some processors is twice as quick as MKL: as a 1×1 convolution over a map of
    # any size whose channels come last, and (an operation of PyTorch's own compiler) as it is.
    side = next((s for s in (8, 7, 4) if len(a) % s**2 == 0 and len(a) > s**2), None)
    if side is not None:
        x = a.view(-1, side, side, a.shape[1]).permute(0, 3, 1, 2)
        ways["1×1 convolution"] = lambda: F.conv2d(x, w[:, :, None, None], b)
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pointwise = torch.ops.mkldnn._linear_pointwise
        ways["oneDNN linear"] = lambda: pointwise(a, w, b, "none", [], "")
    return ways
