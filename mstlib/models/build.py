"""Any shipped network from its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mstlib.models.convnets import ConvConfig, convnet
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig


def build(config: Mapping[str, object]) -> nn.Module:
    """Build the network of a configuration, with random weights.

    Args:
        config: Fields of `ConvConfig` if one of them is ``network``, of `SwinConfig` if not.

    Raises:
        TypeError: a field that the configuration does not have.
        ValueError: a value that it does not allow.
    """
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    if "network" in fields:
        return convnet(ConvConfig(**fields))
    return MaskedSpikingTransformer(SwinConfig(**fields))
