"""A runner for files of NIR, step by step, with the reset that NIR means or with ours."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mstlib.interop.exchange import ExchangeError, Outcome, frame
from mstlib.simulate import check_shown

if TYPE_CHECKING:
    import h5py
    import nir

RESETS = ("hard", "soft")
LARGEST = 2**32  # bytes that the arrays of a file may take
_DEFLATE = 1100  # no array packs better: zlib's limit is 1032 to 1
_KINDS = ("Input", "Output", "Affine", "Linear", "Conv2d", "AvgPool2d", "Scale", "Flatten", "IF")


@torch.no_grad()
def run_nir(path: str | Path, images: Tensor, steps: int, reset: str = "hard") -> Outcome:
    """Run a NIR file over time, from what it says alone.

    NIR has no steps and no start, and leaves both to whoever runs a file. Taken here: a step is one
    step of Euler's method of length 1, so that v grows by R·I; a neuron whose v is then above its
    threshold emits a 1, and is reset; what it emits arrives within the same step; all start at 0;
    inputs of one node add; an average counts its padding.

    Args:
        path: A file of `export_nir`, or one with the same kinds of nodes and no cycle.
        images: ``(B, channels, height, width)``, or films ``(B, n, channels, height, width)``, as
            for `mstlib.simulate`.
        steps: T ≥ 1; for films a multiple of n.
        reset: ``"hard"`` to ``v_reset``, as NIR has it; or ``"soft"``, by ``v_threshold - v_reset``
            downwards, which the network was made for and which NIR cannot say.

    Returns:
        The output of each step, and the spikes of each layer of neurons.

    Raises:
        ExchangeError: no such file, not one of NIR, or with nodes that are not known here.
        ValueError: no steps, an unknown reset, or images of the wrong shape or with values that are
            not finite.
    """
    if reset not in RESETS:
        raise ValueError(f"reset must be one of {RESETS}, not {reset!r}")
    graph = _read(Path(path))
    start, end = _ends(graph)
    check_shown(images, steps, tuple(int(n) for n in graph.nodes[start].input_type["input"]))
    feeds: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        feeds[target].append(source)
    try:
        order = [name for name in TopologicalSorter(feeds).static_order() if name != start]
    except CycleError as trouble:
        raise ExchangeError(f"{path} has a cycle: {' -> '.join(trouble.args[1])}") from None
    kinds = {a.dtype for node in graph.nodes.values() for a in _arrays(node).values()}
    images = images.cpu().to(torch.float32 if kinds <= {np.dtype("f4")} else torch.float64)
    outputs = []
    try:
        layers = {name: _layer(graph.nodes[name], images.dtype, reset) for name in order}
        for t in range(steps):
            values = {start: frame(images, t, steps)}
            for name in order:
                values[name] = layers[name](sum(values[source] for source in feeds[name]))
            outputs.append(values[end])
    except (KeyError, RuntimeError, TypeError, ValueError) as trouble:  # from PyTorch, of settings
        raise ExchangeError(f"{path} cannot be run: {trouble}") from None
    neurons = {name: layer for name, layer in layers.items() if isinstance(layer, _Neurons)}
    return Outcome(torch.stack(outputs), {name: layer.spikes for name, layer in neurons.items()})


def _read(path: Path) -> nir.NIRGraph:
    """Read a graph, after a look at what the file holds."""
    import h5py
    import nir

    if not path.is_file():
        raise ExchangeError(f"no file {path}")
    try:
        with h5py.File(path, "r") as file:
            _check_stored(file, set())
        graph = nir.read(path)
    except Exception as trouble:  # those of HDF5, and any that wrong contents cause in nir
        raise ExchangeError(f"{path} is not a file of NIR: {trouble}") from None
    for name, node in graph.nodes.items():
        if type(node).__name__ not in _KINDS:
            raise ExchangeError(
                f"{path}: {name} is of the kind {type(node).__name__}; known here are "
                + ", ".join(_KINDS)
            )
        for field, array in _arrays(node).items():
            if not np.isfinite(array).all():
                raise ExchangeError(f"{path}: {field} of {name} holds values that are not finite")
    return graph


def _check_stored(group: h5py.Group, seen: set[int]) -> int:
    """Raise ``ValueError`` if a file points out of itself or grows beyond measure; else its bytes.

    HDF5 can take an array from another file, leave out one that was never filled, whatever its
    shape, and have a group within itself.
    """
    import h5py

    size = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        item = group[name]
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            raise ValueError(f"{name} is what another name stands for too")
        seen.add(place)
        if isinstance(item, h5py.Group):
            size += _check_stored(item, seen)
        elif item.external or item.is_virtual:
            raise ValueError(f"{name} lies in another file")
        elif item.nbytes > _DEFLATE * item.id.get_storage_size():
            raise ValueError(f"{name} has a shape for more than the file holds")
        else:
            size += item.nbytes
        if size > LARGEST:
            raise ValueError(f"its arrays would take more than {LARGEST:,} bytes")
    return size


def _arrays(node: nir.NIRNode) -> dict[str, np.ndarray]:
    """Return the arrays of real numbers in a node."""
    values = vars(node).items()
    return {k: v for k, v in values if isinstance(v, np.ndarray) and v.dtype.kind == "f"}


def _ends(graph: nir.NIRGraph) -> tuple[str, str]:
    """Return the names of the input and of the output."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ExchangeError(
            "a graph must have one input and one output, not "
            f"{len(graph.inputs)} and {len(graph.outputs)}"
        )
    return next(iter(graph.inputs)), next(iter(graph.outputs))


class _Neurons:
    """NIR's integrate-and-fire neurons, one step at a call.

    Attributes:
        v: Membrane potential ``(B, ...)``, 0 before the first step.
        spikes: How many were emitted.
    """

    def __init__(self, r: Tensor, threshold: Tensor, reset_to: Tensor, reset: str) -> None:
        self.r, self.threshold, self.reset_to, self.reset = r, threshold, reset_to, reset
        self.v: Tensor | float = 0.0
        self.spikes = 0

    def __call__(self, current: Tensor) -> Tensor:
        v = self.v + self.r * current
        fired = v > self.threshold
        if self.reset == "hard":
            self.v = torch.where(fired, self.reset_to, v)
        else:
            self.v = torch.where(fired, v - (self.threshold - self.reset_to), v)
        self.spikes += int(fired.sum())
        return fired.to(v.dtype)


def _layer(node: nir.NIRNode, dtype: torch.dtype, reset: str) -> Callable[[Tensor], Tensor]:
    """Return what computes a node, from ``(B, ...)`` to ``(B, ...)``."""
    kind = type(node).__name__
    x = {k: torch.from_numpy(v).to(dtype) for k, v in _arrays(node).items()}
    if kind == "IF":
        return _Neurons(x["r"], x["v_threshold"], x["v_reset"], reset)
    if kind in ("Affine", "Linear"):
        return lambda value: F.linear(value, x["weight"], x.get("bias"))
    if kind == "Conv2d":
        padding = node.padding if isinstance(node.padding, str) else _ints(node.padding)
        settings = _ints(node.stride), padding, _ints(node.dilation), int(node.groups)
        return lambda value: F.conv2d(value, x["weight"], x["bias"], *settings)
    if kind == "AvgPool2d":
        sizes = [_ints(size) for size in (node.kernel_size, node.stride, node.padding)]
        return lambda value: F.avg_pool2d(value, *sizes)
    if kind == "Scale":
        return lambda value: value * x["scale"]
    if kind == "Flatten":
        axes = (int(axis) for axis in (node.start_dim, node.end_dim))
        first, last = (axis + (axis >= 0) for axis in axes)  # ours has an axis of images before
        return lambda value: value.flatten(first, last)
    return lambda value: value  # the output


def _ints(values: np.ndarray | tuple[int, int]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.broadcast_to(values, 2))
