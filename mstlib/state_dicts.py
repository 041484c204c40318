"""Fill a network with weights from a file, after a look at every tensor; and write files whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
from safetensors.torch import load_file
from torch import Tensor

from mstlib.masking import Masking

if TYPE_CHECKING:
    from torch import nn


class CheckpointError(ValueError):
    """A weights file is missing, damaged, altered, or not of the expected layout."""


def fill(
    state: dict[str, Tensor],
    config: Mapping[str, object],
    masking: Mapping[str, object] | None,
    named: str,
) -> nn.Module:
    """Make the network of a configuration, and fill it.

    Args:
        state: Names of the network's parameters and buffers, and their values.
        config: See `mstlib.models.build`.
        masking: Fields of the `Masking` that it was trained with, or ``None``.
        named: What to call it in an error.

    Returns:
        The network, in evaluation mode.

    Raises:
        CheckpointError: a value is not finite, a threshold not positive, or the tensors are not
            those of the network.
    """
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
        model.trained_masking = None if masking is None else Masking(**masking)
    except (RuntimeError, TypeError, ValueError) as trouble:
        raise CheckpointError(f"{named} does not fit its network: {trouble}") from None
    return model.eval()


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; there is nothing else that such a file can hold.

    Raises:
        CheckpointError: it is missing, damaged or truncated.
    """
    if not path.exists():
        raise CheckpointError(f"no such file: {path}")
    try:
        return load_file(path)
    except safetensors.SafetensorError as trouble:
        raise CheckpointError(f"{path.name} is damaged or truncated: {trouble}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whatever stops the process."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
