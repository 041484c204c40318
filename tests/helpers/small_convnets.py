"""Narrow convolutional networks with random norms, every layer of which fires."""

import torch
from torch import nn

from mstlib.models.convnets import ConvConfig
from mstlib.train import calibrate

SMALL = {
    "resnet18": ConvConfig("resnet18", width=4, deep_stem=True),
    "vgg16": ConvConfig("vgg16", width=4, hidden=16),
}
SHAPE = (3, 32, 32)


def pictures(n=4, seed=0, shape=SHAPE):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def fitted(net, seed=1):
    """Random norms, and thresholds fitted to the activations, in float64."""
    draw = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.7, 1.3),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 1.5),
            ):
                values.data.uniform_(low, high, generator=draw)
    calibrate(net, pictures(16), levels=4)
    return net.double().eval()
