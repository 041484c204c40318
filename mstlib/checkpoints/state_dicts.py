"""The tensors of a network: filled in from a file after a look at each, and its fingerprint."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mstlib.masking import Masking

_ROOM = 2**28  # bytes: what a network may need beside its weights, such as tables of positions
_WIDER = 4  # times as many bytes as in its file may a number take
# What building a network from a damaged or hostile configuration can end in.
_BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointError(ValueError):
    """A weights file is missing, damaged, altered, or not of the expected layout."""


def shown(value: object) -> str:
    """Return a name or a value that a stranger's file holds, for a message of one line."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 80 else text[:79] + "…"
    return f"a {type(value).__name__}"


def plain(state: Mapping[Any, Any], named: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict, bare of whatever else their objects carry.

    Args:
        state: From anywhere. No value of a tensor is looked at.
        named: What to call it in an error.

    Raises:
        CheckpointError: a name is no text; or a value is no ordinary tensor, or claims more
            numbers than it holds.
    """
    found = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{named}: the name of a tensor is {shown(name)}, not a text")
        if type(value) not in (Tensor, nn.Parameter):
            raise CheckpointError(f"{named}: {shown(name)} is {shown(value)}, not a tensor")
        dense = value.layout == torch.strided and not (value.is_nested or value.is_quantized)
        if value.is_meta or not dense:
            raise CheckpointError(f"{named}: {shown(name)} is not a dense tensor in memory")
        value = Tensor.detach(value)
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(
                f"{named}: {shown(name)} claims {tuple(value.shape)} numbers and holds fewer"
            )
        found[name] = value
    return found


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
        CheckpointError: the tensors are not those of the network, or of numbers of another kind; a
            value is not finite, or a threshold not positive; or there is no such network.
    """
    # timm, which the network builds on, takes seconds to import: only when a network is needed.
    from mstlib.models.build import build

    state = plain(state, named)
    try:
        _check_depth(config, len(state))
        _check(state, _outlined(lambda: build(config)), named)
        model = build(config)
        model.load_state_dict(state)
        model.trained_masking = None if masking is None else Masking(**masking)
    except CheckpointError:
        raise
    except _BROKEN as trouble:
        reason = str(trouble).split("\n")[0] or type(trouble).__name__
        raise CheckpointError(f"{named} does not fit its network: {reason}") from None
    for name, value in model.state_dict().items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{named}: {name} holds values that are NaN or infinite")
        if name.endswith(".threshold") and not bool(value > 0):
            raise CheckpointError(
                f"{named}: the threshold θ of {name.removesuffix('.threshold')} is "
                f"{value.item():.4g}; a threshold must be > 0"
            )
    return model.eval()


def _check_depth(config: Mapping[str, object], tensors: int) -> None:
    """Refuse more blocks than tensors: they are made one after another."""
    if sum(depth for depth in config.get("depths", ()) if depth > 0) > tensors:
        raise ValueError(f"it has {tensors} tensors, too few for so many blocks")


class _Numbers(TorchFunctionMode):
    """Let single numbers be real where all else is an outline: networks check theirs."""

    def __torch_function__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor):
            kwargs.setdefault("device", "cpu")
        return function(*args, **kwargs)


def _outlined(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a network of shapes alone, which takes no memory however large it claims to be."""
    with torch.device("meta"), _Numbers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers without a neuron are refused later
        return make()


def _check(state: Mapping[str, Tensor], outline: nn.Module, named: str) -> None:
    """Compare names, shapes and kinds of numbers with those of a network.

    Raises:
        CheckpointError: they differ, or the network needs too much memory beside its weights.
    """
    wanted = outline.state_dict()
    for what, names in (
        ("lacks", [name for name in wanted if name not in state]),
        ("has no place for", [name for name in state if name not in wanted]),
    ):
        if names:
            raise CheckpointError(f"{named} does not fit its network: it {what} {_listed(names)}")
    for name, tensor in wanted.items():
        value = state[name]
        if value.shape != tensor.shape or not tensor.numel():
            raise CheckpointError(
                f"{named} does not fit its network: {name} is {tuple(value.shape)}, and should be "
                f"{tuple(tensor.shape) if tensor.numel() else 'larger than nothing'}"
            )
        if value.dtype not in _KINDS[tensor.is_floating_point()]:
            raise CheckpointError(f"{named}: {name} holds numbers of the kind {value.dtype}")
    needed = sum(x.nbytes for x in (*outline.parameters(), *outline.buffers()))
    held = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in state.values()}
    if needed > _WIDER * sum(held.values()) + _ROOM:
        raise CheckpointError(
            f"{named}: its network needs {needed:,} bytes, too many for the {sum(held.values()):,} "
            "of its weights: is it meant for images of that size?"
        )


_KINDS = {
    True: (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    False: (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
}


def _listed(names: Iterable[str]) -> str:
    """Name a few of many."""
    names = [shown(name) for name in names]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; there is nothing else that such a file can hold.

    Raises:
        CheckpointError: it is missing, damaged or truncated.
    """
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    try:
        return load_file(path)
    except OSError as trouble:
        raise CheckpointError(f"{path} cannot be read: {trouble.strerror or trouble}") from None
    except safetensors.SafetensorError as trouble:
        raise CheckpointError(f"{path.name} is damaged or truncated: {trouble}") from None


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of a network: of its configuration, and of every tensor to the bit."""
    digest = hashlib.sha256(repr(getattr(model, "config", None)).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
