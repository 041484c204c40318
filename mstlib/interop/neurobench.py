"""A converted network for NeuroBench, and what its metrics make of it.

NeuroBench hangs hooks on layers of weights, linear layers and convolutions, and takes what arrives
for spikes where each entry is −1, 0 or 1. Ours are 0 and θ, so that it would count multiplications
only. Here the neurons give 0 and 1, and θ is multiplied behind them; where spikes go straight into
a layer of weights, θ goes into its weights, and the spikes arrive as they left. Nothing else is
changed: in float64 each spike is the same.

An addition for each spike and weight is then one "effective AC". What arrives as real numbers (the
image, what follows a norm, a sum or a mean) makes "effective MACs", of the numbers that are not 0.
**Not seen** are the two products of attention, Q·Kᵀ and A·V, which have no weights, and the
softmax, norms, sums and poolings: NeuroBench counts nothing there, whatever the network spends on
them. `mstlib.analysis.operations` counts them all.

Only what NeuroBench's models, metrics and benchmark need has to be installed: ``pip install
--no-deps neurobench snntorch``. Without ``--no-deps`` comes tonic, which is under the GPL.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mstlib.convert import SpikingNetwork
from mstlib.interop.exchange import ExchangeError, Layer, black, check_plain, frame, rebuild
from mstlib.models.layers import Product
from mstlib.models.watching import watching
from mstlib.neurons import if_step
from mstlib.simulate import check_shown

if TYPE_CHECKING:
    from neurobench.models import TorchModel

STATIC = ("Footprint", "ParameterCount", "ConnectionSparsity")
# By layer comes last: NeuroBench 2.3 asks each whether it needs hooks until one says yes, and this
# one raises an error.
WORKLOAD = (
    "ClassificationAccuracy",
    "ActivationSparsity",
    "SynapticOperations",
    "MembraneUpdates",
    "ActivationSparsityByLayer",
)


class Neurons(nn.Module):
    """Integrate-and-fire neurons whose spikes are 1, for one time step at a call.

    Attributes:
        threshold: θ, a scalar tensor.
        mem: Membrane potentials, a new tensor after each step; ``None`` before the first.
    """

    init_hidden, output = True, False  # so NeuroBench knows that a neuron gives spikes alone

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.mem: Tensor | None = None

    def forward(self, current: Tensor) -> Tensor:
        """Currents of one step to spikes of the same shape."""
        before = self.threshold / 2 if self.mem is None else self.mem
        spikes, self.mem = if_step(before, current, self.threshold)
        return spikes


class Synapses(nn.Module):
    """A layer of weights that spikes go straight into, with θ in its weights.

    The θ behind the neurons stays there, for whatever else may read them; the division takes it
    off again, exactly.

    Args:
        layer: The layer; its weights are replaced.
        threshold: θ of the neurons before it.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, threshold: Tensor) -> None:
        super().__init__()
        layer.weight = nn.Parameter(layer.weight * threshold, requires_grad=False)
        self.layer = layer
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """0 and θ to what the layer makes of them."""
        return self.layer(x / self.threshold)


class BinaryNetwork(nn.Module):
    """A whole run of a network whose neurons give 0 and 1: what `to_binary` returns.

    Attributes:
        layers: ``{layer: Layer}``, by the names that they have in the converted network.
        steps: T.
        straight: Names of the layers of weights that spikes go straight into.
        unseen: Names of the products of two activations, where NeuroBench counts nothing.
    """

    def __init__(self, snn: SpikingNetwork, steps: int) -> None:
        super().__init__()
        self.net, self.layers = rebuild(snn, lambda theta: Layer(Neurons(theta), theta))
        self.input_shape, self.steps = snn.input_shape, steps
        sources = self._sources(black(snn))
        for name, source in sources.items():
            threshold = self.layers[source].threshold
            self.net.set_submodule(name, Synapses(self.net.get_submodule(name), threshold))
        self.straight = tuple(sources)
        self.unseen = tuple(n for n, m in self.net.named_modules() if isinstance(m, Product))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Show images or films for T steps: logits of each step, ``(B, T, classes)``."""
        check_shown(images, self.steps, self.input_shape)
        for layer in self.layers.values():
            layer.node.mem = None
        images = images.to(layer.threshold)
        steps = range(self.steps)
        return torch.stack([self.net(frame(images, t, self.steps)) for t in steps], 1)

    @torch.no_grad()
    def _sources(self, image: Tensor) -> dict[str, str]:
        """Find what spikes go straight into: ``{layer of weights: layer of neurons}``.

        One step runs with random numbers in the place of the spikes. Where all that arrives at a
        layer are numbers of one layer of neurons, they may have been moved, and nothing else.
        """
        given: dict[str, Tensor] = {}
        found: dict[str, set[str | None]] = {}
        random = torch.Generator().manual_seed(0)

        def mark(name: str, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            numbers = torch.rand(output.shape, generator=random, dtype=output.dtype)
            given[name] = numbers.to(output.device)
            return given[name]

        def look(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            (x,) = inputs
            one = x.flatten()[:1]  # quick: nearly all layers are ruled out by one number
            straight = (
                source
                for source, numbers in given.items()
                if torch.isin(one, numbers).all() and torch.isin(x, numbers).all()
            )
            found.setdefault(name, set()).add(next(straight, None))

        marks = {layer: partial(mark, name) for name, layer in self.layers.items()}
        looks = {
            module: partial(look, name)
            for name, module in self.net.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        }
        with watching(marks), watching(looks, before=True):
            self.net(image)
        # A layer that is called twice may have two sources, and has one set of weights.
        return {n: s for n, (s, *more) in found.items() if s is not None and not more}


@dataclass(frozen=True)
class Measured:
    """What NeuroBench says of a network.

    Attributes:
        metrics: ``{metric: its value}``, by NeuroBench's names; operations are of one image over
            all T steps.
        straight: Names of the layers of weights that spikes go straight into.
        unseen: Names of the products of two activations, of which `metrics` knows nothing.
    """

    metrics: dict[str, object]
    straight: tuple[str, ...]
    unseen: tuple[str, ...]


def to_binary(snn: SpikingNetwork, steps: int) -> BinaryNetwork:
    """Rebuild a converted network from neurons that give 0 and 1; NeuroBench is not needed.

    Args:
        snn: A converted network, without masks, in float32 or float64. Weights that need no θ are
            shared with it.
        steps: T ≥ 1; for films a multiple of their frames.

    Returns:
        A module from images ``(B, channels, height, width)``, or films ``(B, n, channels, height,
        width)``, to the logits of each step, ``(B, T, classes)``. Each call is a run of its own.

    Raises:
        TypeError: `snn` is not a converted network.
        ExchangeError: it has masks, was trained with masks, has products that remember, does not
            say what images it takes, or has another number format.
        ValueError: no steps.
    """
    check_plain(snn)
    check_shown(black(snn), steps, snn.input_shape)
    return BinaryNetwork(snn, steps)


def to_neurobench(snn: SpikingNetwork, steps: int) -> TorchModel:
    """Wrap a converted network as a model for NeuroBench's ``Benchmark``.

    Its answer to a batch are the logits of each step, ``(B, T, classes)``: NeuroBench's
    post-processor ``ChooseMaxCount`` makes of them the class with the greatest mean logit. The
    layers of neurons carry their full names, and ``MembraneUpdates`` sees their potentials;
    ``NeuronOperations`` knows snnTorch's neurons only. NeuroBench keeps all that passes in a batch,
    at all steps, so that batches must be small. In float64 its sums are exact.

    Args:
        snn: A converted network, without masks.
        steps: T ≥ 1; for films a multiple of their frames.

    Raises:
        TypeError, ExchangeError, ValueError: as `to_binary` does.
        ExchangeError: NeuroBench is not installed.
    """
    net = to_binary(snn, steps)

    class Model(_part("models").TorchModel):
        def activation_layers(self) -> list[dict[str, object]]:
            return [{"layer_name": n, "layer": layer.node} for n, layer in net.layers.items()]

        def register_hooks(self) -> None:
            super().register_hooks()
            for hook in self.activation_hooks:
                hook.spiking = True  # else it reads the potentials of snnTorch's neurons only

    return Model(net)


def measure(
    snn: SpikingNetwork, images: Tensor, labels: Tensor, steps: int, batch_size: int = 4
) -> Measured:
    """Run NeuroBench's benchmark with the metrics of `STATIC` and `WORKLOAD`.

    Args:
        snn: A converted network, without masks.
        images: ``(B, channels, height, width)``, or films ``(B, n, channels, height, width)``.
        labels: ``(B,)`` true classes.
        steps: T ≥ 1; for films a multiple of n.
        batch_size: Images shown together; bounds the memory.

    Raises:
        TypeError, ExchangeError, ValueError: as `to_neurobench` does.
        ExchangeError: NeuroBench could not compute a metric.
        ValueError: images or labels of the wrong shape, images with values that are not finite, or
            a wrong batch size.
    """
    model = to_neurobench(snn, steps)
    check_shown(images, steps, snn.input_shape)
    if labels.shape != (len(images),):
        raise ValueError(f"labels must be ({len(images)},), not {tuple(labels.shape)}")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number >= 1, not {batch_size!r}")
    static, workload = _part("metrics.static"), _part("metrics.workload")
    metrics = [[getattr(static, n) for n in STATIC], [getattr(workload, n) for n in WORKLOAD]]
    answer = [_part("processors.postprocessors").ChooseMaxCount()]
    labels = labels.to(next(iter(snn.neurons.values())).threshold.device)
    shown = DataLoader(TensorDataset(images, labels), batch_size)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        found = _part("benchmarks").Benchmark(model, shown, [], answer, metrics).run()
    # A metric that fails is printed, and has the value 0.
    if (trouble := said.getvalue().partition("Error running ")[2]) != "":
        raise ExchangeError(f"NeuroBench could not compute its {trouble.splitlines()[0]}")
    return Measured(found, model.net.straight, model.net.unseen)


def _part(name: str) -> ModuleType:
    """Import a part of NeuroBench."""
    try:
        return import_module(f"neurobench.{name}")
    except ImportError as trouble:
        raise ExchangeError(
            f"NeuroBench cannot be imported ({trouble}): pip install --no-deps neurobench snntorch"
        ) from None
