"""The Masked Spiking Transformer: Swin with BatchNorm and a spiking node after every layer.

One file holds the whole network (Fig. 2, Eq. 6, 7 and 9). It is written once, for training and for
spikes: every activation is a `QCFS` module, which `convert` swaps for integrate-and-fire neurons.
Layers carry the names of the authors' published checkpoints, so that these load without a map
(there, ``q_if`` is "the node of Q that becomes an IF neuron").

Products, sums and softmax are modules too, so that hooks can watch every edge of the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from timm.models.swin_transformer import (
    get_relative_position_index,
    window_partition,
)
from torch import Tensor, nn

from mstlib.masking import Masking, RandomSpikeMask
from mstlib.models.layers import (
    Product,
    ReadoutNorm,
    SpikeSoftmax,
    StepNorm,
    Sum,
    TokenNorm,
)
from mstlib.qcfs import QCFS

ATTENTIONS = ("softmax", "pure")
_LARGEST = {  # a network may come from a stranger's file: larger numbers are refused
    "image_size": 4096,
    "patch_size": 4096,
    "in_channels": 4096,
    "reduction": 4096,
    "classes": 10**6,
    "width": 8192,
    "depths": 256,
    "heads": 1024,
    "window": 4096,
    "levels": 65535,
}
_LARGEST_RATIO = 64
_MOST_STAGES = 8


@dataclass(frozen=True)
class SwinConfig:
    """The shape of a Masked Spiking Transformer and the variants of its parts.

    Attributes:
        image_size: Height and width of the (square) images, in pixels.
        patch_size: Side of one patch, in pixels.
        in_channels: Channels of the images.
        reduction: Channels that a first layer reduces those of the images to (the paper takes 3 for
            the stacked frames of event cameras, §4.2); ``None`` for no such layer.
        classes: Size of the output.
        width: Channels of the first stage; each later stage doubles them.
        depths: Blocks in each stage.
        heads: Attention heads in each stage.
        window: Side of an attention window, in tokens (never larger than the stage's map).
        mlp_ratio: Hidden width of the MLP over its input width.
        levels: L of QCFS; ``None`` for ReLU, before the thresholds are known.
        attention: ``"pure"`` is Eq. 7 alone, A·V/N on the score spikes; ``"softmax"`` is what the
            authors' code does: position bias added to A, then softmax on real values.
        norm: ``"batch"``, or ``"layer"`` for a LayerNorm in the place of every BatchNorm. Only to
            show what that breaks: spikes are then normalised step by step (see `StepNorm`).
        mlp_norm: A normalisation after each linear layer of the MLP.
        final_norm: ``"batch"`` (the paper) or ``"layer"`` (the authors' code) before the head.
        residual: The second residual starts from ``"x"`` (Fig. 2b) or from the ``"norm"`` before
            the MLP (the authors' code).
    """

    image_size: int = 32
    patch_size: int = 4
    in_channels: int = 3
    classes: int = 10
    width: int = 48
    depths: tuple[int, ...] = (2, 2)
    heads: tuple[int, ...] = (3, 6)
    window: int = 4
    mlp_ratio: float = 2.0
    levels: int | None = 8
    attention: str = "softmax"
    norm: str = "batch"
    mlp_norm: bool = True
    final_norm: str = "batch"
    residual: str = "x"
    reduction: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("attention", self.attention, ATTENTIONS),
            ("norm", self.norm, ("batch", "layer")),
            ("final_norm", self.final_norm, ("batch", "layer")),
            ("residual", self.residual, ("x", "norm")),
            ("mlp_norm", self.mlp_norm, (False, True)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {value!r}")
        for name, most in _LARGEST.items():
            value, or_none = getattr(self, name), name in ("levels", "reduction")
            if name in ("depths", "heads"):
                if not isinstance(value, tuple | list) or not 1 <= len(value) <= _MOST_STAGES:
                    raise ValueError(
                        f"{name} must be a list of 1 to {_MOST_STAGES} whole numbers, one for each "
                        f"stage, not {value!r}"
                    )
                for each in value:
                    _check_whole(f"each of {name}", each, most)
            elif not (or_none and value is None):
                _check_whole(name, value, most, or_none)
        ratio = self.mlp_ratio
        if not isinstance(ratio, int | float) or not 0 < ratio <= _LARGEST_RATIO:
            raise ValueError(
                f"mlp_ratio must be a number above 0 and at most {_LARGEST_RATIO}, not {ratio!r}"
            )
        if self.width * ratio < 1:
            raise ValueError(f"mlp_ratio {ratio} leaves {self.width} channels no hidden one")
        if len(self.depths) != len(self.heads):
            raise ValueError(f"depths {self.depths} and heads {self.heads} differ in length")
        for stage, heads in enumerate(self.heads):
            if (self.width << stage) % heads:
                raise ValueError(f"stage {stage}: {self.width << stage} channels, {heads} heads")
            tokens = self.tokens(stage)
            if not tokens:
                raise ValueError(
                    f"stage {stage}: no token is left of image_size {self.image_size} and "
                    f"patch_size {self.patch_size}"
                )
            if tokens % self.side(stage):
                raise ValueError(
                    f"stage {stage}: a map of {tokens} tokens a side does not divide into windows "
                    f"of {self.window}; choose another image_size or window"
                )
            if tokens % 2 and stage + 1 < len(self.heads):
                raise ValueError(
                    f"stage {stage}: a map of {tokens} tokens a side cannot be merged by twos; "
                    "choose another image_size"
                )

    def tokens(self, stage: int) -> int:
        """Return the side of a stage's token map."""
        return (self.image_size // self.patch_size) >> stage

    def side(self, stage: int) -> int:
        """Return the side of a stage's attention window."""
        return min(self.window, self.tokens(stage))

    def new_norm(self, width: int) -> nn.Module:
        """Make a normalisation of that many channels."""
        return TokenNorm(width) if self.norm == "batch" else StepNorm(width)


def _check_whole(name: str, value: object, most: int, or_none: bool = False) -> None:
    """Raise ``ValueError`` unless a value is a whole number from 1 to a largest one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        kind = "None or a whole number" if or_none else "a whole number"
        raise ValueError(f"{name} must be {kind} from 1 to {most}, not {value!r}")


class WindowAttention(nn.Module):
    """Spiking self-attention inside windows (Eq. 6 and 7), with random masks on Q, K and A.

    Args:
        config: The network's.
        stage: Number of its stage.
        block: Number of its block.
        sites: Where the masks take their numbers from.
        apart: ``(w, N, N)``, true where two tokens of a shifted window are not neighbours.
    """

    def __init__(
        self,
        config: SwinConfig,
        stage: int,
        block: int,
        sites: Iterator[int],
        apart: Tensor | None = None,
    ) -> None:
        super().__init__()
        width, side = config.width << stage, config.side(stage)
        self.heads = config.heads[stage]
        self.qkv = nn.Linear(width, 3 * width)
        self.q_if, self.k_if, self.v_if = (QCFS(config.levels) for _ in range(3))
        self.q_mask, self.k_mask, self.attn_mask = (
            RandomSpikeMask("attention", block, next(sites), alone=True) for _ in range(3)
        )
        self.scores = Product((width // self.heads) ** -0.5)
        self.attn_if = QCFS(config.levels)
        self.softmax = nn.Softmax(-1) if config.attention == "softmax" else None
        if self.softmax is not None:
            table = torch.zeros((2 * side - 1) ** 2, self.heads)
            self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
            index = get_relative_position_index(side, side)
            self.register_buffer("relative_position_index", index, persistent=False)
        self.register_buffer("apart", apart, persistent=False)
        self.mix = Product()
        self.attn_v_if = QCFS(config.levels)
        self.proj = nn.Linear(width, width)
        self.proj_if = QCFS(config.levels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window: ``(B·w, N, C)`` to the same shape."""
        rows, n, c = x.shape
        qkv = self.qkv(x).view(rows, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # each (B·w, heads, N, d)
        q = self.q_mask(self.q_if(q))
        k = self.k_mask(self.k_if(k))
        v = self.v_if(v)
        a = self.scores(q, k.transpose(-2, -1))
        a = self.attn_mask(self.attn_if(a))  # (B·w, heads, N, N), Eq. 7
        out = self.attn_v_if(self.mix(self._weights(a), v))
        return self.proj_if(self.proj(out.transpose(1, 2).reshape(rows, n, c)))

    def _weights(self, a: Tensor) -> Tensor:
        """Turn score spikes ``(B·w, heads, N, N)`` into the weights of V."""
        if isinstance(self.softmax, SpikeSoftmax):
            return self.softmax(a)
        count = 1 if self.apart is None else self.apart.shape[0]
        windows = a.view(-1, count, *a.shape[1:])
        if self.softmax is not None:
            return self.softmax(windows + self._bias()).view_as(a)
        windows = windows / a.shape[-1]
        return (windows if self.apart is None else windows * ~self.apart[:, None]).view_as(a)

    def _bias(self) -> Tensor:
        """Return the position bias, ``(heads, N, N)`` or, with shifted windows, one for each."""
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        # After the neuron: a spike can say "little", only −∞ says "never".
        return bias if self.apart is None else bias.masked_fill(self.apart[:, None], -torch.inf)

    def to_spikes(self) -> None:
        """Use that the scores are spikes, once they are (`mstlib.convert` calls it)."""
        if self.softmax is not None and self.attn_if.threshold < SpikeSoftmax.LARGEST:
            bias = self._bias().expand(1 if self.apart is None else len(self.apart), -1, -1, -1)
            self.softmax = SpikeSoftmax(bias.contiguous(), self.attn_if.threshold)


class MLP(nn.Module):
    """Two linear layers, each followed by a norm (optional) and a spiking node (Eq. 9)."""

    folds = (("linear first", "fc1", "norm1"), ("linear first", "fc2", "norm2"))

    def __init__(self, config: SwinConfig, width: int, block: int, sites: Iterator[int]) -> None:
        super().__init__()
        hidden = int(width * config.mlp_ratio)
        norm = config.new_norm if config.mlp_norm else nn.Identity
        self.in_mask = RandomSpikeMask("mlp", block, next(sites), alone=True)
        self.fc1, self.norm1, self.fc1_if = (
            nn.Linear(width, hidden),
            norm(hidden),
            QCFS(config.levels),
        )
        self.hidden_mask = RandomSpikeMask("mlp", block, next(sites), alone=True)
        self.fc2, self.norm2, self.fc2_if = (
            nn.Linear(hidden, width),
            norm(width),
            QCFS(config.levels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the same shape."""
        x = self.fc1_if(self.norm1(self.fc1(self.in_mask(x))))
        return self.fc2_if(self.norm2(self.fc2(self.hidden_mask(x))))


class Block(nn.Module):
    """One transformer block (Fig. 2b): windowed attention and MLP, each with a residual."""

    def __init__(self, config: SwinConfig, stage: int, block: int, sites: Iterator[int]) -> None:
        super().__init__()
        width = config.width << stage
        self.tokens, self.side = config.tokens(stage), config.side(stage)
        odd = (block - sum(config.depths[:stage])) % 2
        self.shift = self.side // 2 if odd and self.side < self.tokens else 0
        self.residual = config.residual
        self.norm1, self.shortcut1_if = config.new_norm(width), QCFS(config.levels)
        self.attn = WindowAttention(config, stage, block, sites, self._apart())
        self.sum1 = Sum()
        self.norm2, self.shortcut2_if = config.new_norm(width), QCFS(config.levels)
        self.mlp = MLP(config, width, block, sites)
        self.sum2 = Sum()
        # Which token comes first, second, … when they are sorted by window; and the way back.
        order = self._windows(torch.arange(self.tokens**2).view(self.tokens, -1)).flatten()
        cut = self.side < self.tokens
        self.register_buffer("order", order if cut else None, persistent=False)
        self.register_buffer("back", order.argsort() if cut else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H·W, C)`` to the same shape."""
        x = self.sum1(x, self._attend(self.shortcut1_if(self.norm1(x))))
        y = self.norm2(x)
        return self.sum2(x if self.residual == "x" else y, self.mlp(self.shortcut2_if(y)))

    def _attend(self, x: Tensor) -> Tensor:
        if self.order is None:
            return self.attn(x)
        windows = x.index_select(1, self.order).view(-1, self.side**2, x.shape[-1])
        return self.attn(windows).view(x.shape).index_select(1, self.back)

    def _windows(self, x: Tensor) -> Tensor:
        """Cut a map of tokens ``(H, W)`` into windows ``(w, N)``, after the shift."""
        x = x.roll((-self.shift, -self.shift), (0, 1))
        return window_partition(x[None, ..., None], (self.side, self.side)).flatten(1)

    def _apart(self) -> Tensor | None:
        """Mark the pairs that a shift brought into one window though they are not neighbours."""
        if not self.shift:
            return None
        band = torch.zeros(self.tokens, dtype=torch.long)
        band[-self.side :] = 1
        band[-self.shift :] = 2
        region = self._windows((3 * band[:, None] + band).roll((self.shift, self.shift), (0, 1)))
        return region[:, :, None] != region[:, None, :]


class Reduction(nn.Module):
    """Reduce the channels of stacked frames (§4.2, Fig. 4): convolution, BatchNorm, spiking node.

    The paper says no more of its layer than what it is for. This one has the form of every other
    layer here, so that what it hands on are spikes, and sees 3×3 pixels, so that it can tell where
    an edge has gone from one frame to the next.
    """

    folds = (("linear first", "conv", "norm"),)

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(config.in_channels, config.reduction, 3, padding=1)
        self.norm, self.conv_if = config.new_norm(config.reduction), QCFS(config.levels)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, channels, height, width)`` to ``(B, reduction, height, width)``."""
        x = self.conv(images).permute(0, 2, 3, 1)
        return self.conv_if(self.norm(x)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """Cut the image into patches and give each a vector: convolution, BatchNorm, spiking node."""

    folds = (("linear first", "proj", "norm"),)

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        side = config.patch_size
        channels = config.in_channels if config.reduction is None else config.reduction
        self.proj = nn.Conv2d(channels, config.width, side, side)
        self.norm, self.proj_if = config.new_norm(config.width), QCFS(config.levels)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, channels, height, width)`` to tokens ``(B, N, C)``."""
        return self.proj_if(self.norm(self.proj(images).flatten(2).transpose(1, 2)))


class PatchMerging(nn.Module):
    """Join each 2×2 tokens into one of twice the channels: BatchNorm, linear, spiking node."""

    folds = (("norm first", "reduction", "norm"),)

    def __init__(self, config: SwinConfig, stage: int) -> None:
        super().__init__()
        width = config.width << stage
        self.tokens = config.tokens(stage)
        self.norm = config.new_norm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.reduction_if = QCFS(config.levels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to ``(B, N/4, 2C)``."""
        b, n, c = x.shape
        half = self.tokens // 2
        x = x.view(b, half, 2, half, 2, c).permute(0, 1, 3, 4, 2, 5).reshape(b, n // 4, 4 * c)
        return self.reduction_if(self.reduction(self.norm(x)))


class Stage(nn.Module):
    """The blocks of one resolution, and the merging that ends it (none in the last stage)."""

    def __init__(self, config: SwinConfig, stage: int, sites: Iterator[int]) -> None:
        super().__init__()
        first = sum(config.depths[:stage])
        self.blocks = nn.ModuleList(
            Block(config, stage, first + i, sites) for i in range(config.depths[stage])
        )
        last = stage == len(config.depths) - 1
        self.downsample = None if last else PatchMerging(config, stage)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to ``(B, N/4, 2C)``, or the same shape in the last stage."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class MaskedSpikingTransformer(nn.Module):
    """The whole network, from images to class scores.

    Attributes:
        config: Its `SwinConfig`.
        input_shape: ``(channels, height, width)`` of the images it takes.
        trained_masking: The `Masking` it was trained with, or ``None``.
    """

    folds = (("norm first", "head", "norm"),)  # the mean over tokens between them is linear too

    def __init__(self, config: SwinConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwinConfig()
        self.input_shape = (config.in_channels, config.image_size, config.image_size)
        self.trained_masking: Masking | None = None
        sites = iter(range(10**6))
        self.reduction = None if config.reduction is None else Reduction(config)
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.ModuleList(Stage(config, i, sites) for i in range(len(config.depths)))
        last = config.width << (len(config.depths) - 1)
        self.norm = config.new_norm(last) if config.final_norm == "batch" else ReadoutNorm(last)
        self.head = nn.Linear(last, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, channels, height, width)`` to logits ``(B, classes)``."""
        x = images if self.reduction is None else self.reduction(images)
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.head(self.norm(x).mean(1))

    @property
    def blocks(self) -> list[Block]:
        """All transformer blocks, in order."""
        return [block for stage in self.layers for block in stage.blocks]


SWIN_TINY = {  # of Liu and others (2021)
    "image_size": 224,
    "width": 96,
    "depths": (2, 2, 6, 2),
    "heads": (3, 6, 12, 24),
    "window": 7,
    "mlp_ratio": 4.0,
}


def swin_tiny(
    classes: int = 10, mlp_norm: bool = False, **changes: object
) -> MaskedSpikingTransformer:
    """Build the paper's full-size network, Swin-T with BatchNorm at 224×224.

    Args:
        classes: 10 and 100 for CIFAR, 1000 for ImageNet.
        mlp_norm: BatchNorm inside the MLPs; the authors' code has it for ImageNet only.
        changes: Any other field of `SwinConfig`.
    """
    config = SWIN_TINY | {"levels": 16, "final_norm": "layer", "residual": "norm"} | changes
    return MaskedSpikingTransformer(SwinConfig(classes=classes, mlp_norm=mlp_norm, **config))
