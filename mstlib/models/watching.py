"""Hooks on the layers of a network that are gone afterwards, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import nn


@contextmanager
def watching(
    hooks: Mapping[nn.Module, Callable[..., object]], *, before: bool = False
) -> Iterator[None]:
    """Call a hook whenever its layer runs, while a ``with`` block does.

    Args:
        hooks: ``{layer: hook}``, each hook called as ``hook(layer, inputs, output)``; what it
            returns, unless ``None``, takes the place of the output.
        before: Call ``hook(layer, inputs)`` before the layer runs; the inputs can be replaced.
    """
    with ExitStack() as stack:
        for layer, hook in hooks.items():
            register = layer.register_forward_pre_hook if before else layer.register_forward_hook
            stack.enter_context(register(hook))
        yield
