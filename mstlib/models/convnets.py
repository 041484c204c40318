"""ResNet-18 and VGG-16 as timm builds them, rewritten for spikes (Table 3, Fig. 5c and d)."""

from __future__ import annotations

from dataclasses import dataclass

from timm.layers import ClassifierHead
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vgg import VGG, ConvMlp, cfgs
from torch import nn

from mstlib.models.tracing import SpikingReady, spiking

FULL_WIDTH = 64  # channels of the first stage, as published
_LARGEST_SIDE = 4096  # pixels, as of `SwinConfig`: a size may come from a stranger's file
_POOLINGS = 5  # of VGG-16, each of which halves the map


@dataclass(frozen=True)
class ConvConfig:
    """The shape of a ResNet-18 or a VGG-16.

    Attributes:
        network: ``"resnet18"`` or ``"vgg16"``.
        image_size: Height and width of the (square) images, in pixels.
        in_channels: Channels of the images.
        classes: Size of the output.
        width: Channels of the first stage; 64 as published.
        hidden: Width of VGG's two hidden linear layers; 4096 as published.
        deep_stem: Three small convolutions begin the ResNet instead of a 7×7 one (its variant C).
            timm gives the 7×7 one 64 channels at any width.
        levels: L of QCFS; ``None`` for ReLU, before the thresholds are known.
    """

    network: str
    image_size: int = 32
    in_channels: int = 3
    classes: int = 10
    width: int = FULL_WIDTH
    hidden: int = 4096
    deep_stem: bool = False
    levels: int | None = 8

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {tuple(NETWORKS)}, not {self.network!r}")
        for name in ("width", "hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 2 or value % 2:
                raise ValueError(f"{name} must be an even number >= 2, not {value!r}")
        side = self.image_size
        if not isinstance(side, int) or not 0 < side <= _LARGEST_SIDE or side % 2**_POOLINGS:
            raise ValueError(
                f"image_size must be a multiple of 32, at most {_LARGEST_SIDE}, not {side!r}"
            )


def convnet(config: ConvConfig) -> SpikingReady:
    """Build a network of a configuration, with random weights."""
    net = NETWORKS[config.network](config)
    ready = spiking(net, (config.in_channels, *2 * [config.image_size]), config.levels)
    ready.config = config
    return ready


def _resnet18(config: ConvConfig) -> ResNet:
    stem = {"stem_type": "deep", "stem_width": config.width // 2} if config.deep_stem else {}
    return ResNet(
        BasicBlock,
        (2, 2, 2, 2),
        num_classes=config.classes,
        in_chans=config.in_channels,
        channels=tuple(config.width << stage for stage in range(4)),
        **stem,
    )


def _vgg16(config: ConvConfig) -> VGG:
    plan = [v if v == "M" else v * config.width // FULL_WIDTH for v in cfgs["vgg16"]]
    # A small ratio, since timm's head, for maps of 7×7 pixels and 4096 neurons, goes at once.
    net = VGG(plan, in_chans=config.in_channels, norm_layer=nn.BatchNorm2d, mlp_ratio=1 / 4096)
    side = config.image_size >> _POOLINGS
    head = ConvMlp(net.num_features, config.hidden, side, drop_rate=0.0)
    for layer in (head.fc1, head.fc2):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    # Its layers without its question how large the map is: we know, and a graph cannot ask.
    net.pre_logits = nn.Sequential(*head.children())
    net.head = ClassifierHead(config.hidden, config.classes)
    return net


NETWORKS = {"resnet18": _resnet18, "vgg16": _vgg16}
