"""From a trained QCFS network to a spiking one (Eq. 4 and 5).

Conversion changes two things and nothing else: each QCFS becomes a layer of integrate-and-fire
neurons with the same θ, and each BatchNorm that stands next to a linear layer is folded into it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from mstlib.engine.linear import OneDNNLinear
from mstlib.masking import Masking, RandomSpikeMask
from mstlib.models.layers import Product, ReadoutNorm, RunningProduct, Sum
from mstlib.neurons import IFNeuron
from mstlib.qcfs import QCFS

# Layers that a spiking network may keep: linear in time, or read-outs on real values.
CONVERTIBLE = (
    nn.Linear,
    nn.Conv2d,
    _BatchNorm,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Identity,
    nn.Dropout,  # the identity in evaluation mode
    nn.Softmax,  # gives real values: not spikes, and the audit says so
    QCFS,
    RandomSpikeMask,
    Product,
    Sum,
    ReadoutNorm,
)


class ConversionError(ValueError):
    """The network has a part that cannot be turned into spikes."""


class SpikingNetwork(nn.Module):
    """A converted network: the same graph with integrate-and-fire neurons for activations.

    Run it with `mstlib.simulate`; called directly, it takes and gives one chunk of time.

    Attributes:
        net: The converted graph.
        neurons: ``{layer name: IFNeuron}`` in order of execution.
        masks: ``{layer name: RandomSpikeMask}``.
        products: ``{layer name: RunningProduct}``, where `mstlib.analysis.products` has put some.
        input_shape: ``(channels, height, width)`` or ``None`` where the network does not say.
        trained_masking: The `Masking` of its training, or ``None``.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        named = list(net.named_modules())
        self.neurons = {name: m for name, m in named if isinstance(m, IFNeuron)}
        self.masks = {name: m for name, m in named if isinstance(m, RandomSpikeMask)}
        self.products = {name: m for name, m in named if isinstance(m, RunningProduct)}
        self.input_shape: tuple[int, int, int] | None = getattr(net, "input_shape", None)
        self.trained_masking: Masking | None = getattr(net, "trained_masking", None)

    def reset(self) -> None:
        """Start anew: potentials at θ/2, counts at zero."""
        parts = (*self.neurons.values(), *self.masks.values(), *self.products.values())
        for part in parts:
            part.reset()

    def replica(self) -> SpikingNetwork:
        """Return a copy that shares all weights, with potentials, counts and masks of its own."""
        return copy.deepcopy(self, {id(x): x for x in (*self.parameters(), *self.buffers())})

    def keep(self, images: Tensor) -> None:
        """Go on with some of the images only: those of a boolean ``(B,)``."""
        for neuron in self.neurons.values():
            neuron.v = neuron.v[images.to(neuron.v.device)]
        for product in self.products.values():
            product.keep(images)

    def begin(self, steps: range, images: Sequence[int]) -> None:
        """Tell neurons, products and masks which steps and images the next input stacks."""
        for part in (*self.neurons.values(), *self.products.values()):
            part.expect(len(steps), len(images))
        for mask in self.masks.values():
            mask.begin(steps, images)

    def forward(self, images: Tensor) -> Tensor:
        """Run one chunk of time: ``(T·B, C, H, W)`` to logits ``(T·B, classes)``."""
        return self.net(images)

    def advance(self, images: Tensor, steps: range, which: Sequence[int]) -> Tensor:
        """Show images for some more time steps, the same at each or another at each.

        Args:
            images: ``(B, C, H, W)``, or ``(B, len(steps), C, H, W)`` with one for each step.
            steps: The numbers of these steps within the run.
            which: The positions of these images within the run.

        Returns:
            Logits of each step, ``(len(steps), B, classes)``.
        """
        self.begin(steps, which)
        if images.ndim == 4:
            shown = images.repeat(len(steps), 1, 1, 1)
        else:
            shown = images.transpose(0, 1).flatten(0, 1)
        return self(shown).view(len(steps), len(images), -1)


def convert(ann: nn.Module, fold: bool = True) -> SpikingNetwork:
    """Convert a trained QCFS network into a spiking one (Eq. 4 and 5).

    The network itself is left as it is; the copy is in evaluation mode.

    Args:
        ann: A network whose activations are all `QCFS`, with BatchNorm for normalisation.
        fold: Fold each BatchNorm that stands next to a linear layer into its weights. The result is
            the same up to rounding; the normalisations that start a block stay, because a residual
            sum, and no layer, feeds them.

    Raises:
        ConversionError: a part cannot be converted; the message names each one and says why.
    """
    if isinstance(ann, SpikingNetwork):
        raise ConversionError("this network is converted already")
    _refuse_inconvertible(ann)
    net = copy.deepcopy(ann).eval().requires_grad_(False)
    if fold:
        for module in list(net.modules()):
            _fold(module)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, QCFS):
                setattr(parent, name, IFNeuron(child.threshold))
            elif isinstance(child, nn.Linear):
                setattr(parent, name, OneDNNLinear.of(child))
        if hasattr(parent, "to_spikes"):
            parent.to_spikes()
    return SpikingNetwork(net)


def _refuse_inconvertible(ann: nn.Module) -> None:
    """Raise `ConversionError` with a line for each module that cannot become spikes."""
    troubles = []
    for name, module in ann.named_modules():
        if isinstance(module, QCFS):
            if module.levels is None:
                troubles.append(f"{name}: QCFS without levels; calibrate its threshold first")
        elif not any(True for _ in module.children()) and not isinstance(module, CONVERTIBLE):
            troubles.append(f"{name or 'the network'} ({type(module).__name__}): {_why(module)}")
    if not any(isinstance(m, QCFS) for m in ann.modules()):
        troubles.append("no QCFS activation: nothing in this network would spike")
    if troubles:
        raise ConversionError("cannot convert this network:\n  " + "\n  ".join(troubles))


def _why(module: nn.Module) -> str:
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return "its statistics change at every step; use BatchNorm, which is fixed in evaluation"
    if isinstance(module, nn.MaxPool2d):
        return "the maximum of spikes is not the spike of the maximum; use average pooling"
    if type(module).__module__.endswith("activation"):
        return "no spiking neuron computes it; use mstlib.qcfs.QCFS"
    kinds = ", ".join(sorted(kind.__name__.lstrip("_") for kind in CONVERTIBLE))
    return f"not known to keep its meaning on spikes; convertible are {kinds}"


def _fold(module: nn.Module) -> None:
    """Fold the BatchNorms of one module, as its `folds` lists them, into its linear layers."""
    for order, linear_name, norm_name in getattr(module, "folds", ()):
        linear, norm = module.get_submodule(linear_name), module.get_submodule(norm_name)
        if not isinstance(norm, _BatchNorm):
            continue
        if order == "norm first":
            linear = _fold_before(norm, linear)
        elif isinstance(linear, nn.Conv2d):
            linear = fuse_conv_bn_eval(linear, norm)
        else:
            linear = fuse_linear_bn_eval(linear, norm)
        module.set_submodule(linear_name, linear)
        module.set_submodule(norm_name, nn.Identity())


def _fold_before(norm: _BatchNorm, linear: nn.Linear) -> nn.Linear:
    """Fold a BatchNorm into the linear layer behind it: W·diag(γ/σ) and b + W·(β − μγ/σ)."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    folded = nn.Linear(linear.in_features, linear.out_features).to(linear.weight)
    bias = linear.weight @ shift
    folded.bias.data = bias if linear.bias is None else linear.bias + bias
    folded.weight.data = linear.weight * scale
    return folded.requires_grad_(False).train(linear.training)
