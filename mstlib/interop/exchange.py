"""What every exchange with another tool needs: a plain copy to change, and a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mstlib.convert import SpikingNetwork
from mstlib.engine.linear import OneDNNLinear
from mstlib.neurons import IFNeuron
from mstlib.simulate import Run


class ExchangeError(ValueError):
    """The network has something that the other tool cannot say."""


@dataclass(frozen=True)
class Outcome:
    """What another tool made of B images in T steps.

    Attributes:
        logits: ``(T, B, classes)``, each step's own output, as in `mstlib.simulate.Run`.
        spike_counts: ``{layer: spikes}``, summed over neurons, steps and images.
    """

    logits: Tensor
    spike_counts: dict[str, int]

    def predictions(self) -> Tensor:
        """Return the class of each image, ``(B,)``, from the mean logits of all steps."""
        return self.logits.mean(0).argmax(-1)


@dataclass(frozen=True)
class Comparison:
    """How far another tool's outcome is from ours.

    Attributes:
        images: How many there were.
        same_predictions: Of how many images the predicted class is the same.
        mean_logits: Largest difference of a mean logit.
        total: Relative difference of all spikes together.
        layer: Largest relative difference of the spikes of a layer.
        exact: Whether every layer emitted the same number of spikes.
    """

    images: int
    same_predictions: int
    mean_logits: float
    total: float
    layer: float
    exact: bool


def compare(ours: Run, theirs: Outcome) -> Comparison:
    """Compare a simulation with what another tool made of the same network and images.

    Raises:
        ValueError: they are not of as many steps, images and classes, or not of the same layers.
    """
    if ours.logits.shape != theirs.logits.shape:
        raise ValueError(
            "ours has logits of shape (steps, images, classes) "
            f"{tuple(ours.logits.shape)}, theirs {tuple(theirs.logits.shape)}"
        )
    mine, other = ours.spike_counts, theirs.spike_counts
    if mine.keys() != other.keys():
        raise ValueError(f"not the same layers: {sorted(mine.keys() ^ other.keys())}")
    return Comparison(
        ours.images,
        int((ours.predictions() == theirs.predictions()).sum()),
        float((ours.logits.mean(0) - theirs.logits.mean(0)).abs().max()),
        _relative(sum(other.values()), sum(mine.values())),
        max(_relative(other[name], mine[name]) for name in mine),
        mine == other,
    )


def _relative(count: int, ours: int) -> float:
    return abs(count - ours) / max(ours, 1)


class Layer(nn.Module):
    """A layer of another tool's neurons, whose spikes are 1, and the height θ behind them.

    Attributes:
        node: The neurons, which work on one time step at a time.
        threshold: θ.
    """

    def __init__(self, node: nn.Module, threshold: Tensor) -> None:
        super().__init__()
        self.node = node
        self.register_buffer("threshold", threshold)

    def forward(self, current: Tensor) -> Tensor:
        """Currents of one step to 0 and θ, of the same shape."""
        return self.node(current) * self.threshold


def rebuild(
    snn: SpikingNetwork, neuron: Callable[[Tensor], nn.Module]
) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return a copy of a network that shares its weights and has other neurons.

    Args:
        snn: A converted network, without masks: it is left as it is.
        neuron: Makes a layer of neurons of a threshold, a scalar tensor.

    Returns:
        The network, of PyTorch's own linear layers, and ``{layer: its neurons}``.

    Raises:
        TypeError: `snn` is not a converted network.
        ExchangeError: it has masks, was trained with masks, or has products that remember.
    """
    check_plain(snn)
    net, neurons = snn.replica().net.eval(), {}
    for name, module in list(net.named_modules()):
        if isinstance(module, IFNeuron):
            neurons[name] = neuron(module.threshold)
            net.set_submodule(name, neurons[name])
        elif isinstance(module, OneDNNLinear):
            sizes = module.in_features, module.out_features
            linear = nn.utils.skip_init(nn.Linear, *sizes, bias=False)
            linear.weight, linear.bias = module.weight, module.bias
            net.set_submodule(name, linear)
    return net, neurons


def check_plain(snn: SpikingNetwork) -> None:
    """Raise unless a network is converted, and has neither masks nor products that remember.

    Raises:
        TypeError: it is not a converted network.
        ExchangeError: it has masks, was trained with masks, or has products that remember.
    """
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(f"only a converted network, not {type(snn).__name__}: convert it")
    if any(mask.ratio > 0 for mask in snn.masks.values()):
        raise ExchangeError("masks are set, and other tools do not know them: set them to None")
    if snn.trained_masking:
        raise ExchangeError(
            f"this network was trained with {snn.trained_masking}; other tools know no such masks, "
            "and without them its scores are off: take a network trained without"
        )
    if snn.products:
        raise ExchangeError(
            f"the products {', '.join(snn.products)} remember earlier steps; only a product of the "
            "spikes of one step can be given to other tools"
        )


def frame(images: Tensor, t: int, steps: int) -> Tensor:
    """Return what is shown at step t of so many: the images, or of films a frame ``(B, C, H, W)``.

    Args:
        images: ``(B, C, H, W)``, or films of n frames, ``(B, n, C, H, W)``.
        t: The step, from 0.
        steps: T, a multiple of n.
    """
    return images if images.ndim == 4 else images[:, t * images.shape[1] // steps]


def black(snn: SpikingNetwork) -> Tensor:
    """Return a black image, ``(1, channels, height, width)``, in a network's number format.

    Raises:
        ExchangeError: the network does not say what images it takes, or has another format than
            float32 and float64.
    """
    if snn.input_shape is None:
        raise ExchangeError("this network does not say what images it takes: set its input_shape")
    threshold = next(iter(snn.neurons.values())).threshold
    if threshold.dtype not in (torch.float32, torch.float64):
        raise ExchangeError(f"numbers must be float32 or float64, not {threshold.dtype}")
    return threshold.new_zeros(1, *snn.input_shape)


@torch.no_grad()
def units(snn: SpikingNetwork) -> dict[str, int]:
    """Return how many neurons each layer has, by running one step of one black image.

    Raises:
        ExchangeError: as for `black`.
    """
    probe = snn.replica()
    probe.reset()
    probe.advance(black(snn), range(1), range(1))
    return {name: neuron.v.shape[1] for name, neuron in probe.neurons.items()}
