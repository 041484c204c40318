"""Networks of a few thousand weights, every layer of which fires, that run in milliseconds."""

from dataclasses import replace

import torch
from torch import nn

from mstlib.models.layers import TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig, WindowAttention
from mstlib.qcfs import QCFS
from mstlib.train import calibrate, initialise

# 4×4 tokens in windows of 2×2, the second block shifted; then 2×2 tokens in one window.
SHAPE = {"image_size": 16, "width": 12, "depths": (2, 1), "heads": (3, 3), "window": 2}


def tiny(seed: int = 0, levels: int = 4, **changes: object) -> MaskedSpikingTransformer:
    """A random network with random norms, its thresholds fitted to its activations."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MaskedSpikingTransformer(SwinConfig(**(SHAPE | changes), levels=None))
        initialise(model)
        for module in model.modules():
            if isinstance(module, TokenNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.3, 2.0)
            elif isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.3)
            elif isinstance(module, WindowAttention) and module.softmax is not None:
                nn.init.normal_(module.relative_position_bias_table, std=0.5)
        calibrate(model, torch.randn(64, *model.input_shape), levels, percentile=98)
    model.config = replace(model.config, levels=levels)
    return model.eval()


def pictures(n: int = 4, seed: int = 1, channels: int = 3, side: int = 16) -> torch.Tensor:
    """Random images for it."""
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def perceptron(seed: int = 0, levels: int = 8) -> nn.Sequential:
    """Three linear layers with norms and QCFS between them, for 1×4×4 images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(16, 12),
            nn.BatchNorm1d(12),
            QCFS(levels, 0.8),
            nn.Linear(12, 10),
            QCFS(levels, 0.6),
            nn.Linear(10, 3),
        ).eval()
