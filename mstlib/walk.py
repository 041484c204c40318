"""Walk through a spiking network: every layer with its shape, its signal and how often it fires.

The result is what `mstlib.explorers.ArchitectureExplorer` draws.
"""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib.convert import SpikingNetwork, convert, signal_kind
from mstlib.models.layers import Product, ReadoutNorm, Sum
from mstlib.neurons import IFNeuron
from mstlib.simulate import simulate

_KINDS: tuple[tuple[type[nn.Module] | tuple, str], ...] = (
    (nn.Conv2d, "conv"),
    ((_BatchNorm, ReadoutNorm), "norm"),
    (IFNeuron, "spike"),
    (nn.Linear, "linear"),
    (Product, "product"),
    (nn.Softmax, "softmax"),
    (Sum, "residual"),
    ((nn.AvgPool2d, nn.AdaptiveAvgPool2d), "pool"),
)

# What to say of a layer, by the end of its name: (equation of the paper, note). The first that
# fits is taken.
_WORDS = (
    ("patch_embed.proj", "", "Cuts the image into patches: its stride is its size."),
    (
        "patch_embed.norm",
        "8",
        "BatchNorm over images and patches, one mean and variance a channel.",
    ),
    ("patch_embed.proj_if", "2", "The first spikes: the image was a constant current until here."),
    ("shortcut1_if", "2", "What attention reads is spikes. The shortcut around it stays real."),
    ("shortcut2_if", "2", "What the MLP reads. Random masks for the MLP fall on these spikes."),
    ("attn.qkv", "6", "One linear layer for Q, K and V, within each window."),
    ("attn.q_if", "6", "Queries. Random masks for attention fall on these spikes."),
    ("attn.k_if", "6", "Keys. Random masks for attention fall on these spikes."),
    ("attn.v_if", "", "Values. They are never masked."),
    ("attn.scores", "7", "Every query meets every key of its window, within one step."),
    ("attn.attn_if", "7", "Attention scores as spikes. The third place of the attention's masks."),
    ("attn.softmax", "", "Not in Eq. 7: the published code adds a position bias and a softmax."),
    ("attn.mix", "", "The weights times the values."),
    ("attn.attn_v_if", "", "The mixed values as spikes."),
    ("attn.proj", "", "Joins the heads."),
    ("attn.proj_if", "", "Ends the attention branch: it can add to the stream, never subtract."),
    ("sum1", "", "The residual stream, plus what attention found."),
    ("mlp.fc1", "9", "The MLP widens the tokens."),
    ("mlp.fc1_if", "9", "Random masks for the MLP fall on these spikes as well."),
    ("mlp.fc2", "9", "The MLP narrows the tokens again."),
    ("mlp.fc2_if", "9", "Ends the MLP branch: it can add to the stream, never subtract."),
    ("sum2", "", "The residual stream, plus what the MLP made of it."),
    ("downsample.norm", "8", "Four neighbours side by side, normalised."),
    ("downsample.reduction", "", "Patch merging: 2×2 tokens become one of twice the channels."),
    (
        "downsample.reduction_if",
        "",
        "The merged tokens as spikes: the next stage starts from them.",
    ),
    ("head", "", "Class scores, from the mean over the tokens."),
    ("norm", "8", "The last normalisation."),
    ("norm1", "8", "BatchNorm, with stored means and variances: linear in time."),
    ("norm2", "8", "BatchNorm, with stored means and variances: linear in time."),
)


def walk(model: nn.Module, images: Tensor, steps: int = 32) -> list[dict[str, object]]:
    """Run a network on a few images and describe each of its layers, in order of execution.

    Args:
        model: A trained QCFS network (converted here, with its normalisations left visible) or a
            converted one.
        images: ``(B, channels, height, width)``, normalised as in training.
        steps: Time steps to watch.

    Returns:
        One dictionary a layer: ``name``, ``kind`` (as in `mstlib.explorers.architecture`),
        ``shape`` of its output for one image and one step, ``signal`` of its output ("binary",
        "scaled binary" or "real", as in `mstlib.audit`), ``stage``, ``block``, ``equation`` of the
        paper, ``note``, and for spiking layers ``rate``, the spikes per neuron and step.
    """
    snn = model if isinstance(model, SpikingNetwork) else convert(model, fold=False)
    layers: list[dict[str, object]] = []
    rows = steps * len(images)

    def watch(name: str, kind: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            windows, *shape = len(output) // rows, *output.shape[1:]
            layers.append(
                {
                    "name": name,
                    "kind": _kind_here(name, kind),
                    "shape": [windows, *shape] if windows > 1 else shape,
                    "signal": signal_kind(output),
                    **_place(name),
                    **_words(name),
                }
            )

        return hook

    handles = [
        module.register_forward_hook(watch(name, kind))
        for name, module in snn.net.named_modules()
        for types, kind in _KINDS
        if isinstance(module, types)
    ]
    try:
        run = simulate(snn, images, steps, batch_size=len(images), chunk=steps)
    finally:
        for handle in handles:
            handle.remove()
    rates = run.firing_rates
    return [e | {"rate": rates[e["name"]]} if e["name"] in rates else e for e in layers]


def _kind_here(name: str, kind: str) -> str:
    """The last linear layer and that of a merging have kinds of their own."""
    if kind != "linear":
        return kind
    return {"head": "head", "reduction": "merge"}.get(name.split(".")[-1], kind)


def _place(name: str) -> dict[str, str]:
    """Stage and block, from a layer's name."""
    numbers = re.match(r"layers\.(\d+)\.(?:blocks\.(\d+))?", name)
    if numbers is None:
        return {"stage": "patch embedding" if name.startswith("patch_embed") else "head"}
    stage, block = numbers.groups()
    return {"stage": stage} if block is None else {"stage": stage, "block": f"{stage}.{block}"}


def _words(name: str) -> dict[str, str]:
    """Equation and note of a layer, from the end of its name."""
    for end, equation, note in _WORDS:
        if f".{name}".endswith(f".{end}"):
            return {"equation": equation, "note": note}
    return {}
