"""Walk through a spiking network: every layer with its shape, its signal and how often it fires.

The result is what `mstlib.explorers.ArchitectureExplorer` draws.
"""

from __future__ import annotations

import re
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib.analysis.audit import signal_kind
from mstlib.convert import SpikingNetwork, convert
from mstlib.models.layers import Product, ReadoutNorm, Sum
from mstlib.models.sites import site_of
from mstlib.models.watching import watching
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

_NORM = "γ (x − μ) / √(σ^2 + ε) + β"

# What to say of a layer, by the end of its name: equation of the paper, formula and note. The first
# that fits is taken.
_WORDS = [
    line.split(" | ")
    for line in f"""
patch_embed.proj |  | x_i = W patch_i + b | Cuts the image into patches: its stride is its size.
patch_embed.norm | 8 | {_NORM} | \
BatchNorm over images and patches, one mean μ and variance σ² a channel.
patch_embed.proj_if | 2 | S = IF(x) | \
The first spikes: the image was a constant current until here.
shortcut1_if | 2 | X = IF(norm(x)) | \
What attention reads is spikes. The shortcut around it stays real.
shortcut2_if | 2 | X = IF(norm(x)) | \
What the MLP reads. Random masks for the MLP fall on these spikes.
attn.qkv | 6 | X W_q, X W_k, X W_v | One linear layer for Q, K and V, within each window.
attn.q_if | 6 | Q = IF(X W_q) | Queries. Random masks for attention fall on these.
attn.k_if | 6 | K = IF(X W_k) | Keys. Random masks for attention fall on these spikes.
attn.v_if | 6 | V = IF(X W_v) | Values. They are never masked.
attn.scores | 7 | Q K^T / √d | Every query meets every key of its window, within one step.
attn.attn_if | 7 | A = IF(Q K^T / √d) | \
Attention scores as spikes. The third place of the attention's masks.
attn.softmax |  | P = softmax(A + B) | \
Not in Eq. 7: the published code adds a position bias B and a softmax.
attn.mix |  | P V | The weights times the values; in the pure form P = A / N.
attn.attn_v_if |  | O = IF(P V) | The mixed values as spikes.
attn.proj |  | O W_o + b_o | Joins the heads.
attn.proj_if |  | Y = IF(O W_o + b_o) | \
Ends the attention branch: it can add to the stream, never subtract.
sum1 |  | x ← x + Y | The residual stream, plus what attention found.
mlp.fc1 | 9 | X W_1 + b_1 | The MLP widens the tokens.
mlp.fc1_if | 9 | Z = IF(norm(X W_1 + b_1)) | Random masks for the MLP fall on these spikes as well.
mlp.fc2 | 9 | Z W_2 + b_2 | The MLP narrows the tokens again.
mlp.fc2_if | 9 | M = IF(norm(Z W_2 + b_2)) | \
Ends the MLP branch: it can add to the stream, never subtract.
sum2 |  | x ← x + M | The residual stream, plus what the MLP made of it.
downsample.norm | 8 | {_NORM} | Four neighbours side by side, normalised.
downsample.reduction |  | [x_1, x_2, x_3, x_4] W_m | \
Patch merging: 2×2 tokens become one of twice the channels.
downsample.reduction_if |  | S = IF([x_1, x_2, x_3, x_4] W_m) | \
The merged tokens as spikes: the next stage starts from them.
head |  | y = x̄ W_h + b_h | Class scores, from the mean x̄ over the tokens.
norm | 8 | {_NORM} | The last normalisation.
norm1 | 8 | {_NORM} | BatchNorm, with stored means and variances: linear in time.
norm2 | 8 | {_NORM} | BatchNorm, with stored means and variances: linear in time.
""".strip().splitlines()
]

# No more rows and columns of a tensor than a heat map shows well.
_ROWS, _COLUMNS = 64, 288


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
        paper, ``formula``, ``note``, ``tensor``, its output for the first image (spikes counted,
        numbers averaged over the steps; `_table`), and for spiking layers ``rate``, the spikes per
        neuron and step, and ``mask``, the kind of mask that falls on them, if any.
    """
    snn = model if isinstance(model, SpikingNetwork) else convert(model, fold=False)
    layers: list[dict[str, object]] = []
    rows = steps * len(images)

    def note(name: str, kind: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        windows, *shape = len(output) // rows, *output.shape[1:]
        layers.append(
            {
                "name": name,
                "kind": kind,
                "shape": [windows, *shape] if windows > 1 else shape,
                "signal": signal_kind(output),
                "tensor": _table(name, kind, output, steps, len(images)),
                **_place(name),
                **_words(name, masked=bool(snn.masks)),
            }
        )

    hooks = {
        module: partial(note, name, _kind_here(name, kind))
        for name, module in snn.net.named_modules()
        for types, kind in _KINDS
        if isinstance(module, types)
    }
    with watching(hooks):
        run = simulate(snn, images, steps, batch_size=len(images), chunk=steps)
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


def _words(name: str, masked: bool) -> dict[str, str]:
    """Equation, formula and note of a layer, and its mask, from the end of its name."""
    words = {}
    for end, equation, formula, note in _WORDS:
        if f".{name}".endswith(f".{end}"):
            words = {"equation": equation, "formula": formula, "note": note}
            break
    site = site_of(name)
    return words | ({"mask": site.module} if site.mask and masked else {})


def _table(name: str, kind: str, output: Tensor, steps: int, images: int) -> dict[str, object]:
    """What a layer gave for the first image, as a table: ``values``, and what they are.

    Of several windows it is the first; heads, and the groups of Q, K and V, stand side by side.

    Args:
        name: The layer's.
        kind: Its kind; spikes are counted, anything else is averaged over the steps.
        output: ``(T·B·w, ...)``, time outermost, w windows.
        steps: T.
        images: B.
    """
    of_first = output.unflatten(0, (steps, images, -1))[:, 0]  # (T, w, ...)
    spikes = kind == "spike"
    x = (of_first != 0).sum(0).float() if spikes else of_first.mean(0)
    part, groups = [], 1
    while x.dim() > 3 or (x.dim() > 1 and len(x) == 1):  # windows, one or several
        if len(x) > 1:
            part.append(f"window 1 of {len(x)}")
        x = x[0]
    attends = ".attn." in name
    if attends and x.dim() == 3 and not _by_head(name):
        part.append(f"window 1 of {len(x)}")
        x = x[0]
    rows, columns = "token" if x.dim() > 1 else "image", "class" if kind == "head" else "channel"
    if name.endswith("attn.qkv"):
        groups = 3
        part.append("Q, K and V side by side")
    if x.dim() == 3 and attends:
        groups = len(x)
        part.append(f"{groups} heads side by side")
        x = x.transpose(0, 1).flatten(1)
        if name.endswith(("scores", "attn_if", "softmax")):
            rows, columns = "query", "key"
    elif x.dim() == 3:  # (channels, height, width)
        x = x.flatten(1).T
    x = x.reshape(-1, x.shape[-1])
    for axis, (what, most) in enumerate(((rows, _ROWS), (columns, _COLUMNS))):
        if x.shape[axis] > most:
            part.append(f"the first {most} of {x.shape[axis]} {what}s")
            x, groups = x.narrow(axis, 0, most), 1
    return {
        "values": x.tolist(),
        "rows": rows,
        "columns": columns,
        "unit": f"spikes in {steps} steps" if spikes else f"mean of {steps} steps",
        "part": ", ".join(part),
        "groups": groups,
    }


def _by_head(name: str) -> bool:
    """Whether a layer inside an attention works on each head by itself."""
    return not name.endswith((".qkv", ".proj", ".proj_if"))
