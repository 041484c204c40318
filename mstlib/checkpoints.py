"""Weights: the shipped models, checked by their hash, and files in the authors' layout.

No file is ever unpickled into code: shipped weights are safetensors, and a ``.pth`` is read by
PyTorch's restricted reader, which knows tensors and plain containers only.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from mstlib.masking import Masking

if TYPE_CHECKING:
    from torch import nn

    from mstlib.models.swin import MaskedSpikingTransformer

WEIGHTS = Path(__file__).parent / "weights"
_MANIFEST = "manifest.json"


class CheckpointError(ValueError):
    """A weights file is missing, damaged, altered, or not of the expected layout."""


def available() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(manifest())


def manifest(folder: Path = WEIGHTS) -> dict[str, dict[str, object]]:
    """Return what is known of each shipped model: hash, configuration, recipe and seed."""
    path = folder / _MANIFEST
    return json.loads(path.read_text()) if path.exists() else {}


def load_shipped(name: str, folder: Path = WEIGHTS) -> nn.Module:
    """Load a shipped model: a trained QCFS network, in evaluation mode. Nothing is downloaded.

    Known to readers as `mstlib.load`.

    Args:
        name: One of `available()`.
        folder: Where the weights lie.

    Raises:
        ValueError: there is no model of that name.
        CheckpointError: its file is missing, or is not the one whose hash is on record.
    """
    known = manifest(folder)
    if name not in known:
        raise ValueError(f"no shipped model {name!r}; available: {', '.join(sorted(known))}")
    entry, path = known[name], folder / f"{name}.safetensors"
    if not path.exists():
        raise CheckpointError(f"{path.name} is missing; `make weights` trains it again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise CheckpointError(
            f"{path.name} is damaged or was altered: its SHA-256 is not the one on record; "
            "restore the file, or train it again with `make weights`"
        )
    return _build(load(content), entry["config"], entry["masking"], path.name)


def save_shipped(
    name: str, model: nn.Module, about: dict[str, object], folder: Path = WEIGHTS
) -> Path:
    """Write a trained model as a shipped one: the weights, and its entry in the manifest.

    Args:
        name: Its name.
        model: The network.
        about: What to note beside it (recipe, seed, measurements).
        folder: Where to write.

    Returns:
        The path of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({k: v.contiguous() for k, v in model.state_dict().items()})
    path = folder / f"{name}.safetensors"
    _write(path, content)
    masking = model.trained_masking
    entry = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "config": asdict(model.config),
        "masking": None if masking is None else asdict(masking),
        **about,
    }
    known = manifest(folder) | {name: entry}
    _write(folder / _MANIFEST, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return path


def load_official(
    source: str | Path | Mapping[str, Tensor],
    image_size: int = 32,
    levels: int = 8,
    masking: Masking | None = None,
) -> MaskedSpikingTransformer:
    """Load weights in the layout of the authors' published checkpoints.

    Widths, depths, heads, window and the MLP's variant are read off the shapes. The variant of the
    graph is that of their code: position bias and softmax, LayerNorm before the head, and the
    second residual on the normalised input.

    Args:
        source: A ``.pth`` or ``.safetensors`` file, or a state dict.
        image_size: Side of the images; the weights do not tell it.
        levels: L of QCFS; the weights do not tell it.
        masking: What the model was trained with; the weights do not tell it.

    Returns:
        The network, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, would run code, or has another layout; or a
            threshold is not positive.
    """
    named = "the state dict" if isinstance(source, Mapping) else Path(source).name
    weights = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    state = {}
    for name, value in weights.items():
        name = name.removeprefix("module.")
        if name.endswith(("attn_mask", "relative_position_index")):
            continue  # derived from the shape, not learned
        if name.endswith("_if.up"):
            if value.numel() != 1:
                raise CheckpointError(f"{named}: {name} must be one number, not {value.numel()}")
            name, value = name.removesuffix("up") + "threshold", value.reshape(())
        state[name] = value
    config = _infer_config(state, image_size, levels, named)
    return _build(state, config, None if masking is None else asdict(masking), named)


def _infer_config(
    state: dict[str, Tensor], image_size: int, levels: int, named: str
) -> dict[str, object]:
    """Read the shape of the network off the shapes of its weights."""
    try:
        width, channels, patch, _ = state["patch_embed.proj.weight"].shape
        numbers = [re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", name) for name in state]
        blocks = {(int(m[1]), int(m[2])) for m in numbers if m}
        depths = [sum(s == stage for s, _ in blocks) for stage in range(1 + max(blocks)[0])]
        first = "layers.{}.blocks.0.attn.relative_position_bias_table"
        tables = [state[first.format(stage)].shape for stage in range(len(depths))]
        hidden, _ = state["layers.0.blocks.0.mlp.fc1.weight"].shape
        classes, _ = state["head.weight"].shape
    except (KeyError, ValueError) as trouble:
        raise CheckpointError(
            f"{named} is not in the layout of the authors' checkpoints: {trouble}"
        ) from None
    return {
        "image_size": image_size,
        "patch_size": patch,
        "in_channels": channels,
        "classes": classes,
        "width": width,
        "depths": depths,
        "heads": [heads for _, heads in tables],
        "window": max((math.isqrt(rows) + 1) // 2 for rows, _ in tables),
        "mlp_ratio": hidden / width,
        "levels": levels,
        "attention": "softmax",
        "mlp_norm": "layers.0.blocks.0.mlp.norm1.weight" in state,
        "final_norm": "layer",
        "residual": "norm",
    }


def _build(
    state: dict[str, Tensor],
    config: Mapping[str, object],
    masking: Mapping[str, object] | None,
    named: str,
) -> nn.Module:
    """Make the network of a configuration and fill it, after a look at every tensor."""
    # timm, which the network builds on, takes seconds to import: only when a network is needed.
    from mstlib.models.build import build

    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{named}: {name} holds values that are NaN or infinite")
        if name.endswith(".threshold") and not bool((value > 0).all()):
            raise CheckpointError(
                f"{named}: the threshold θ of {name.removesuffix('.threshold')} is "
                f"{value.item():.4g}; a threshold must be > 0"
            )
    try:
        model = build(config)
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as trouble:
        raise CheckpointError(f"{named} does not fit its network: {trouble}") from None
    model.trained_masking = None if masking is None else Masking(**masking)
    return model.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """Read a weights file without running anything that it may hold."""
    if not path.exists():
        raise CheckpointError(f"no such file: {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except safetensors.SafetensorError as trouble:
            raise CheckpointError(f"{path.name} is damaged or truncated: {trouble}") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as trouble:
        first = str(trouble).split("\n")[0]
        raise CheckpointError(
            f"{path.name} holds more than tensors, and reading it would run code, or is damaged: "
            f"refused ({first})"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as trouble:
        raise CheckpointError(f"{path.name} is damaged or truncated: {trouble}") from None
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not (isinstance(content, Mapping) and all(map(torch.is_tensor, content.values()))):
        raise CheckpointError(f"{path.name} is not a state dict (names and their tensors)")
    return dict(content)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
