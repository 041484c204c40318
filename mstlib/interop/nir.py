"""A converted network as a file of NIR, the Neuromorphic Intermediate Representation.

NIR's integrate-and-fire neuron charges by v' = R·I, fires above its threshold, and then goes to
``v_reset``; its spikes are 1. Much of ours can be said with that:

- the height θ of a spike: a ``Scale`` follows the neurons;
- the start at θ/2: the potential is counted from there, so that the neuron starts at 0, fires above
  θ/2 and goes to −θ/2;
- a residual sum: two edges into one node, which add;
- a BatchNorm that could not be folded: a product with a diagonal matrix.

What NIR cannot say is our soft reset. Ours keeps what a potential has above θ when it fires; NIR's
forgets it, at every spike. In continuous time, which NIR describes, a current charges a potential
to its threshold and not above, and both are the same; in steps they are not. The file has no step
either, and no start: `mstlib.interop.nir_run` says what it takes them for. NIR also has no product
of two signals and no softmax, and so no attention.
"""

from __future__ import annotations

import io
import operator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib._version import __version__
from mstlib.checkpoints.files import write_whole
from mstlib.convert import SpikingNetwork
from mstlib.interop.exchange import ExchangeError, black, check_plain
from mstlib.masking import RandomSpikeMask
from mstlib.models.layers import Product, Sum
from mstlib.neurons import IFNeuron

if TYPE_CHECKING:
    import nir

ABOUT = {
    "mstlib": __version__,
    "what": "a converted network, without masks; the input is the image, the same at every step",
    "step": "of length 1: every v grows by r times the input of the step, then neurons fire",
    "start": "0 in every neuron",
    "reset": "made for a soft one, v - (v_threshold - v_reset); to v_reset, it emits fewer spikes",
    "answer": "the class with the greatest mean of the output over the steps taken so far",
}
_SUMS = (operator.add, operator.iadd, torch.add)
_PASSING = (nn.Identity, nn.Dropout, RandomSpikeMask, Sum)
_POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_SAYABLE = (IFNeuron, nn.Linear, nn.Conv2d, _BatchNorm, nn.Flatten, *_POOLS, *_PASSING)
_UNSAYABLE = {Product: "product of two signals", nn.Softmax: "softmax"}


def export_nir(snn: SpikingNetwork, path: str | Path) -> Path:
    """Write a converted network as a NIR graph, all but its soft reset.

    Nodes have the names of the network's layers; ``Scale`` nodes ``LAYER.height``, after neurons,
    and ``LAYER.border``, after a pooling that leaves its padding out, are added. All arrays have
    the network's number format. The graph's metadata say how to step, start and read the answer.

    Args:
        snn: The network, without masks, in float32 or, for the very same spikes, in float64
            (``convert(ann.double())``).
        path: The file; one that is there is replaced.

    Returns:
        The path.

    Raises:
        TypeError: `snn` is not a converted network.
        ExchangeError: it has masks, was trained with masks, does not say what images it takes, has
            a layer that NIR has no node for or a number format that the file cannot hold, or there
            is no such folder.
    """
    import nir

    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise ExchangeError(f"{path} must be a file in a folder that exists")
    check_plain(snn)
    for name, module in snn.net.named_modules():
        _check_sayable(name, module)
    file = io.BytesIO()
    nir.write(file, _graph(*_traced(snn)))
    write_whole(path, file.getvalue())
    return path


def _check_sayable(name: str, module: nn.Module) -> None:
    """Raise `ExchangeError` for a module without parts that no node of NIR stands for."""
    if isinstance(module, _SAYABLE) or any(True for _ in module.children()):
        return
    known = (text for kind, text in _UNSAYABLE.items() if isinstance(module, kind))
    raise ExchangeError(f"{name}: NIR has no {next(known, f'node for {type(module).__name__}')}")


class _Tracer(fx.Tracer):
    """Follow a network down to the modules that have no parts."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children())


class _Shapes(fx.Interpreter):
    """Run a traced network, and note the shape of everything for one image at its place."""

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape[1:])
        return result


def _traced(snn: SpikingNetwork) -> tuple[nn.Module, fx.Graph, torch.dtype]:
    """Return a network, its graph with the shapes of all that travels in it, and its format."""
    image, probe = black(snn), snn.replica()
    probe.eval()
    probe.reset()
    probe.begin(range(1), range(1))
    try:
        graph = _Tracer().trace(probe.net)
    except fx.proxy.TraceError as trouble:
        raise ExchangeError(f"{type(snn.net).__name__} has no one graph: {trouble}") from None
    with torch.no_grad():
        _Shapes(probe.net, graph=graph).run(image)
    return probe.net, graph, image.dtype


def _graph(net: nn.Module, traced: fx.Graph, dtype: torch.dtype) -> nir.NIRGraph:
    """Return a traced network as a graph of NIR."""
    import nir

    parts = _Parts()
    sources: dict[fx.Node, tuple[str, ...]] = {}  # the nodes whose sum each value is
    for node in traced.nodes:
        given = tuple(s for value in node.all_input_nodes for s in sources[value])
        takes = node.all_input_nodes[0].meta["shape"] if node.all_input_nodes else ()
        gives = node.meta.get("shape", ())
        module = net.get_submodule(node.target) if node.op == "call_module" else None
        if node.op == "placeholder":
            sources[node] = parts.put({"input": nir.Input(np.array(gives))}, ())
        elif node.op == "output":
            parts.put({"output": nir.Output(np.array(takes))}, given)
        elif isinstance(module, _PASSING) or (node.target in _SUMS and not node.kwargs):
            if len(set(given)) < len(given) or len(node.args) > len(node.all_input_nodes):
                raise ExchangeError(
                    f"{node.target if module else node.name}: NIR adds what comes from different "
                    "nodes, on one edge from each; not a value to itself or to a number"
                )
            sources[node] = given
        elif module is not None:
            nodes = _nodes(node.target, module, takes, gives, dtype)
            sources[node] = parts.put(nodes, given, takes, gives)
        elif node.target in (torch.flatten, "flatten") and node.args[1:] == (1,):
            nodes = {node.name: _flatten(takes)}
            sources[node] = parts.put(nodes, given, takes, gives)
        else:
            name = getattr(node.target, "__name__", node.target)
            raise ExchangeError(f"{node.name}: NIR has no node for the operation {name}")
    try:
        return nir.NIRGraph(parts.nodes, parts.edges, metadata=dict(ABOUT))
    except ValueError as trouble:
        raise ExchangeError(f"the nir package refuses the graph: {trouble}") from None


class _Parts:
    """The nodes and edges of a graph that grows."""

    def __init__(self) -> None:
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def put(
        self,
        chain: dict[str, nir.NIRNode],
        sources: tuple[str, ...],
        takes: tuple[int, ...] | None = None,
        gives: tuple[int, ...] | None = None,
    ) -> tuple[str, ...]:
        """Put nodes behind each other, the first behind its sources; return the last one's name.

        The shapes that the first takes and the last gives must be those that the nir package gives
        them, or no file could be read back: it has wrong ones for some convolutions, those with
        groups and those with a kernel that is not square.
        """
        for name, node in chain.items():
            if name in self.nodes:
                raise ExchangeError(
                    f"two nodes would have the name {name}: each layer must be called once, and "
                    "none can be named input or output"
                )
            for kind, shape in (("input", takes), ("output", gives)):
                thought = getattr(node, f"{kind}_type")[kind]
                if shape and thought is not None and tuple(map(int, thought)) != shape:
                    raise ExchangeError(
                        f"{name}: its {kind} has the shape {shape}; the nir package, which checks "
                        f"shapes, has {tuple(map(int, thought))} for a {type(node).__name__} so"
                    )
            takes = gives
            self.nodes[name] = node
            self.edges += [(source, name) for source in sources]
            sources = (name,)
        return sources


def _nodes(
    name: str,
    module: nn.Module,
    takes: tuple[int, ...],
    gives: tuple[int, ...],
    dtype: torch.dtype,
) -> dict[str, nir.NIRNode]:
    """Return the node of a layer, and the one behind it where it needs two."""
    import nir

    if isinstance(module, IFNeuron):
        theta = np.full(takes, float(module.threshold), _array(module.threshold).dtype)
        neurons = nir.IF(r=np.ones_like(theta), v_threshold=theta / 2, v_reset=-theta / 2)
        return {name: neurons, f"{name}.height": nir.Scale(theta)}
    if isinstance(module, nn.Linear):
        weight = _array(module.weight)
        bias = module.bias
        return {name: nir.Linear(weight) if bias is None else nir.Affine(weight, _array(bias))}
    if isinstance(module, nn.Flatten):
        if (module.start_dim, module.end_dim) not in ((1, -1), (1, len(takes))):
            raise ExchangeError(f"{name}: only all axes of an image can be flattened into one")
        return {name: _flatten(takes)}
    if isinstance(module, nn.Conv2d):
        if module.padding_mode != "zeros":
            raise ExchangeError(f"{name}: NIR pads with zeros, not by {module.padding_mode!r}")
        bias = module.weight.new_zeros(gives[0]) if module.bias is None else module.bias
        settings = module.stride, module.padding, module.dilation, module.groups
        return {name: nir.Conv2d(takes[1:], _array(module.weight), *settings, _array(bias))}
    if isinstance(module, _BatchNorm):
        return {name: _norm(name, module, takes)}
    return _pool(name, module, takes, gives, dtype)


def _flatten(takes: tuple[int, ...]) -> nir.Flatten:
    import nir

    return nir.Flatten(np.array(takes), start_dim=0, end_dim=-1)  # NIR counts no axis of images


def _norm(name: str, norm: _BatchNorm, takes: tuple[int, ...]) -> nir.NIRNode:
    """Return a BatchNorm as a product with a diagonal matrix."""
    import nir

    if norm.running_var is None or norm.weight is None:
        raise ExchangeError(f"{name}: only a BatchNorm with kept statistics and weights is fixed")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift, scale = _array(norm.bias - norm.running_mean * scale), np.diag(_array(scale))
    if len(takes) == 1:
        return nir.Affine(scale, shift)
    return nir.Conv2d(takes[1:], scale[:, :, None, None], (1, 1), (0, 0), (1, 1), 1, shift)


def _pool(
    name: str,
    pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d,
    takes: tuple[int, ...],
    gives: tuple[int, ...],
    dtype: torch.dtype,
) -> dict[str, nir.NIRNode]:
    """Return an average pooling, and what makes up for padding that ours does not count."""
    import nir

    if isinstance(pool, nn.AdaptiveAvgPool2d):
        if gives[1:] != (1, 1):
            raise ExchangeError(f"{name}: an adaptive pooling must be of the whole map")
        return {name: nir.AvgPool2d(np.array(takes[1:]), np.array(takes[1:]), np.array((0, 0)))}
    if pool.ceil_mode or pool.divisor_override:
        raise ExchangeError(
            f"{name}: NIR's pooling rounds its map down, and divides by the size of its kernel"
        )
    settings = (pool.kernel_size, pool.stride, pool.padding)
    sizes = [np.broadcast_to(size, 2).copy() for size in settings]
    nodes = {name: nir.AvgPool2d(*sizes)}
    if sizes[2].any() and not pool.count_include_pad:
        counted = F.avg_pool2d(torch.ones(1, *takes, dtype=dtype), *settings)[0]
        nodes[f"{name}.border"] = nir.Scale(_array(1 / counted))
    return nodes


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
