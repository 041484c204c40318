"""Make a convolutional network ready for spikes, whichever it is: it is traced, and rewritten.

`torch.fx` follows an image symbolically through a network and notes what is computed as a graph.
On that graph the same few replacements turn any network of convolutions, BatchNorm and ReLU into
one that `mstlib.train` can train and `mstlib.convert` can convert:

- a ReLU becomes a `QCFS`, one for every *call*: a neuron has a state, so that a ReLU which a
  network uses twice must become two layers of neurons;
- a max-pooling becomes an average pooling and a `QCFS`, so that what leaves it is spikes again;
- a sum of two branches becomes a `Sum`, which hooks can watch, and which overwrites no input;
- a `RandomSpikeMask` goes before every convolution that reads spikes: not before the first, which
  reads the image;
- each BatchNorm that alone reads a convolution is noted, for `convert` to fold.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter, OrderedDict
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import Tensor, fx, nn

from mstlib.masking import Masking, RandomSpikeMask
from mstlib.models.layers import Sum
from mstlib.qcfs import QCFS

_RECTIFIERS = (nn.ReLU, nn.ReLU6)  # QCFS has an upper limit of its own
_RECTIFIER_CALLS = (F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, "relu", "relu_")
_SUMS = (operator.add, operator.iadd, torch.add)
_TRANSPARENT = (nn.Identity, nn.Dropout, RandomSpikeMask)  # spikes leave where spikes enter


class TraceError(ValueError):
    """The network asks for values or shapes while it runs, so that it has no one graph."""


class SpikingPool(nn.Sequential):
    """Average pooling and a spiking node: the mean of spikes is no spike, what leaves here is."""

    def __init__(self, pool: nn.MaxPool2d, levels: int | None) -> None:
        shape = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        mean = nn.AvgPool2d(*shape, count_include_pad=False)
        super().__init__(OrderedDict(mean=mean, act=QCFS(levels)))


class SpikingReady(nn.Module):
    """A rewritten network: what `spiking` returns.

    Attributes:
        graph: The network as a graph of modules, which keep the names they had.
        input_shape: ``(channels, height, width)`` of the images it takes.
        trained_masking: The `Masking` it was trained with, or ``None``.
        folds: The pairs of convolution and BatchNorm that `mstlib.convert` folds.
        readers: ``{spiking layer: names of what reads its spikes}``, where a mask stands for the
            convolution behind it.
        config: The configuration it was built from, where it was built from one.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        input_shape: tuple[int, int, int],
        folds: tuple[tuple[str, str, str], ...],
        readers: dict[str, tuple[str, ...]],
    ) -> None:
        super().__init__()
        self.graph, self.input_shape = graph, input_shape
        self.folds, self.readers = folds, readers
        self.trained_masking: Masking | None = None
        self.config: object = None

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, channels, height, width)`` to logits ``(B, classes)``."""
        return self.graph(images)


def spiking(
    net: nn.Module, input_shape: tuple[int, int, int], levels: int | None = None
) -> SpikingReady:
    """Rewrite a network of convolutions, BatchNorm and ReLU for training with QCFS and conversion.

    Blocks are numbered along the graph, from 0: a new one begins after each residual sum and each
    pooling.

    Args:
        net: The network, as timm or torchvision build it, with or without trained weights. It is
            left as it is.
        input_shape: ``(channels, height, width)`` of its images.
        levels: L of every `QCFS`; ``None`` for ReLU, before the thresholds are known.

    Returns:
        The new network, with copies of the weights, in the mode (training or evaluation) of `net`.

    Raises:
        TraceError: what the network computes depends on the values or shapes of its input.
    """
    net = _apart(copy.deepcopy(net))
    tracer = _Tracer()
    try:
        graph = tracer.trace(net)
    except fx.proxy.TraceError as trouble:
        raise TraceError(f"{type(net).__name__} has no one graph: {trouble}") from None
    rewriter = _Rewriter(fx.GraphModule(net, graph), levels)
    for node in list(graph.nodes):
        rewriter.visit(node)
    graph.lint()
    rewriter.net.recompile()
    rewriter.net.delete_all_unused_submodules()
    ready = SpikingReady(rewriter.net, input_shape, rewriter.folds(), rewriter.readers())
    return ready.train(net.training)


class _Tracer(fx.Tracer):
    """Follow a network down to the modules that have no parts."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children())


def _apart(net: nn.Module) -> nn.Module:
    """Take timm's BatchNorm with an activation inside apart into the two."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormAct2d):
                norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(parent, name, nn.Sequential(OrderedDict(norm=norm, act=child.act)))
    return net


class _Rewriter:
    """Replace the nodes of one traced network, in their order."""

    def __init__(self, net: fx.GraphModule, levels: int | None) -> None:
        self.net, self.levels = net, levels
        self.before = dict(net.named_modules())
        self.calls = Counter(n.target for n in net.graph.nodes if n.op == "call_module")
        self.block = self.site = 0
        self.used: set[str] = set()

    def visit(self, node: fx.Node) -> None:
        # As it was: a module that is called twice has been replaced at its first call.
        module = self.before[node.target] if node.op == "call_module" else None
        if isinstance(module, _RECTIFIERS) or node.target in _RECTIFIER_CALLS:
            name = node.target if module is not None else self._beside(node, "act")
            self._replace(node, name, QCFS(self.levels), node.args[:1])
        elif isinstance(module, nn.MaxPool2d):
            self._replace(node, node.target, SpikingPool(module, self.levels), node.args[:1])
            self.block += 1
        elif node.target in _SUMS and all(isinstance(x, fx.Node) for x in node.args):
            self._replace(node, self._beside(node, "sum"), Sum(), node.args)
            self.block += 1
        elif isinstance(module, nn.Conv2d) and self._reads_spikes(node):
            mask = RandomSpikeMask("conv", self.block, self.site)
            self.site += 1
            with self.net.graph.inserting_before(node):
                node.args = (self._call(f"{node.target}_mask", mask, node.args[:1]),)

    def folds(self) -> tuple[tuple[str, str, str], ...]:
        """List the BatchNorms that can be folded: each alone reads a convolution used once."""
        pairs = []
        for node in self.net.graph.nodes:
            readers = list(node.users)
            # The exact type: a subclass may compute its weights anew at every call.
            if type(self._module(node)) is nn.Conv2d and len(readers) == 1:
                names = node.target, readers[0].target
                norm = isinstance(self._module(readers[0]), nn.BatchNorm2d)
                if norm and all(self.calls[name] == 1 for name in names):
                    pairs.append(("linear first", *(f"graph.{name}" for name in names)))
        return tuple(pairs)

    def readers(self) -> dict[str, tuple[str, ...]]:
        """List what reads the spikes of each layer."""
        layers = {}
        for node in self.net.graph.nodes:
            module = self._module(node)
            if isinstance(module, QCFS | SpikingPool):
                pool = ".act" if isinstance(module, SpikingPool) else ""
                found = tuple(f"graph.{reader.target}" for reader in self._ends(node))
                layers[f"graph.{node.target}{pool}"] = found
        return layers

    def _ends(self, node: fx.Node) -> Iterator[fx.Node]:
        for user in node.users:
            if isinstance(self._module(user), nn.Identity | nn.Dropout):
                yield from self._ends(user)
            else:
                yield user

    def _reads_spikes(self, node: fx.Node) -> bool:
        source = node.args[0]
        while isinstance(self._module(source), _TRANSPARENT):
            source = source.args[0]
        return isinstance(self._module(source), QCFS | SpikingPool)

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.net.get_submodule(node.target) if node.op == "call_module" else None

    def _beside(self, node: fx.Node, name: str) -> str:
        """Name a module that stands for an operation, within the module that called it."""
        stack = node.meta.get("nn_module_stack") or {"": ("", None)}
        owner, _ = list(stack.values())[-1]
        return f"{owner}.{name}" if owner else name

    def _replace(self, node: fx.Node, name: str, new: nn.Module, inputs: tuple) -> fx.Node:
        with self.net.graph.inserting_before(node):
            call = self._call(name, new, inputs)
        node.replace_all_uses_with(call)
        self.net.graph.erase_node(node)
        return call

    def _call(self, name: str, new: nn.Module, inputs: tuple) -> fx.Node:
        """Put a module at a name, or at the next free one if we have used it, and call it."""
        free, number = name, 1
        while free in self.used:
            number += 1
            free = f"{name}_{number}"
        self.used.add(free)
        self.net.add_submodule(free, new)
        return self.net.graph.call_module(free, inputs)
