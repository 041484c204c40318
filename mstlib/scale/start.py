"""First weights from timm's Swin-T, as far as they go, and plain words about what does not.

Swin-T and the spiking network have the same matrices, but not the same functions between them.
Patch embedding, Q, K, V, projections, MLPs, position biases and mergings are copied tensor by
tensor. LayerNorm's scale and shift become BatchNorm's, whose mean and deviation are measured on
images. What they then make together is not what Swin-T makes, and has to be trained.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mstlib.checkpoints.state_dicts import CheckpointError, read_safetensors
from mstlib.models.layers import TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer

NAME = "swin_tiny_patch4_window7_224.ms_in1k"

LOST = (
    "GELU is replaced by ReLU, which has nothing below zero: MLPs lose their small negative values",
    "what a norm hands to attention and MLP passes a ReLU, as do queries, keys, values and what is "
    "mixed of them: nothing of it is left below zero",
    "projections and MLPs end in a ReLU: each block can add to the residual stream, and no longer "
    "take away from it",
    "BatchNorm takes the mean over images where LayerNorm took it over channels: scale and shift "
    "are copied, but they now follow other statistics",
)


@dataclass(frozen=True)
class Started:
    """What became of each tensor.

    Attributes:
        copied: Tensors that were copied.
        fresh: Tensors of the network that had no counterpart, or one of another shape.
        unused: Tensors of the source that nothing was made of.
        parameters: Parameters of the network.
        copied_parameters: Those that were copied.
    """

    copied: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    parameters: int
    copied_parameters: int

    @property
    def share(self) -> float:
        """Share of the parameters that were copied."""
        return self.copied_parameters / self.parameters

    def __str__(self) -> str:
        kinds = sorted({re.sub(r"layers\.\d+\.(blocks\.\d+\.)?", "", n) for n in self.fresh})
        return "\n".join(
            (
                f"copied: {len(self.copied)} tensors, {self.copied_parameters:,} of "
                f"{self.parameters:,} parameters ({self.share:.2%})",
                f"no counterpart: {', '.join(kinds) or 'none'}",
                f"not used: {', '.join(self.unused) or 'none'}",
                *(f"lost: {what}" for what in LOST),
            )
        )


def swin_weights(source: str) -> dict[str, Tensor]:
    """Get the weights of a Swin Transformer.

    Args:
        source: "timm" for its Swin-T, which is downloaded to the hub's own cache if it is not there
            yet; or a file (``.safetensors``, ``.pth``) in timm's layout or that of Swin's authors.

    Raises:
        CheckpointError: the file is missing, damaged or holds more than tensors; or the hub cannot
            be reached.
    """
    if source == "timm":
        import timm

        try:
            return timm.create_model(NAME, pretrained=True).state_dict()
        except (OSError, RuntimeError, ValueError) as trouble:
            raise CheckpointError(
                f"{NAME} cannot be had from the hub ({trouble}); download its model.safetensors "
                "from https://huggingface.co/timm/swin_tiny_patch4_window7_224.ms_in1k and name "
                'that file as the start, or start from "none"'
            ) from None
    path = Path(source)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if not path.exists():
        raise CheckpointError(f'no such start: {source}; name a file, "timm" or "none"')
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as trouble:  # a damaged file fails in as many ways as there are bytes
        first = str(trouble).split("\n")[0]
        raise CheckpointError(f"{path.name} is not a file of tensors alone: {first}") from None
    content = content.get("model", content) if isinstance(content, dict) else content
    if not (isinstance(content, dict) and all(map(torch.is_tensor, content.values()))):
        raise CheckpointError(f"{path.name} is not a state dict (names and their tensors)")
    return content


@torch.no_grad()
def start(model: MaskedSpikingTransformer, weights: dict[str, Tensor]) -> Started:
    """Copy what fits of a Swin Transformer's weights into a network.

    Args:
        model: The network, changed in place.
        weights: From `swin_weights`.

    Returns:
        What was copied and what was not.

    Raises:
        CheckpointError: nothing of it fits, or values are not finite.
    """
    ours = dict(model.named_parameters())
    theirs = {_our_name(n, _merges_at_the_end(weights)): (n, v) for n, v in weights.items()}
    copied, unused = [], []
    for name, (original, value) in theirs.items():
        if name.endswith(("relative_position_index", "attn_mask")):
            continue  # derived from the shape, not learned
        target = ours.get(name)
        if target is not None and name.endswith("relative_position_bias_table"):
            value = _bias(value, target.shape)
        if target is None or target.shape != value.shape:
            unused.append(original)
            continue
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{original} holds values that are NaN or infinite")
        target.copy_(value)
        copied.append(name)
    if not copied:
        raise CheckpointError("these are not the weights of a Swin Transformer: no tensor fits")
    return Started(
        tuple(copied),
        tuple(name for name in ours if name not in copied),
        tuple(unused),
        sum(p.numel() for p in ours.values()),
        sum(ours[name].numel() for name in copied),
    )


@torch.no_grad()
def measure_statistics(model: nn.Module, images: Tensor) -> None:
    """Measure the mean and the deviation of every BatchNorm on some images, in one pass.

    Args:
        model: The network, with ReLU activations.
        images: ``(B, channels, height, width)``.
    """
    norms = [m for m in model.modules() if isinstance(m, TokenNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over what it sees
    try:
        model.train()
        model(images)
    finally:
        model.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _merges_at_the_end(weights: dict[str, Tensor]) -> bool:
    """Tell the layout of Swin's authors, and ours, in which merging ends a stage."""
    return "layers.0.downsample.reduction.weight" in weights


def _our_name(name: str, at_the_end: bool) -> str:
    """Return our name of a tensor: timm's merging begins a stage, where ours ends the one before.

    Both join the four tokens of a 2×2 square in the same order, so the matrices fit as they are.
    """
    name = name.removeprefix("module.")
    if not at_the_end:
        name = re.sub(
            r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        )
    return name.replace("head.fc.", "head.")


def _bias(table: Tensor, shape: torch.Size) -> Tensor:
    """Return a table of position biases for another size of window."""
    if table.shape == shape or table.shape[-1] != shape[-1]:
        return table
    from timm.layers import resize_rel_pos_bias_table

    side = (int(shape[0] ** 0.5) + 1) // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of the way in which timm indexes
        return resize_rel_pos_bias_table(table, new_window_size=(side, side), new_bias_shape=shape)
