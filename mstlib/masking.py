"""Random spike masking (§3.4): drop each spike with probability p, afresh at every step.

The random numbers come from a counter-based hash and not from a stateful generator: the number for
one spike depends on the seed and on *which* spike it is (layer, step, image, neuron), so that a run
gives the same result however it is cut into chunks of time or batches, and in any language.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mstlib.engine.kernels import compiled_for, drop

KINDS = ("attention", "mlp", "conv")
_BITS = 24  # a mask ratio is resolved to 2^-24
_SEEDS = 0x7FFFFFFF  # the bits of a seed that count


@dataclass(frozen=True)
class Masking:
    """Where spikes are masked, and how many.

    A ratio is one number for all blocks, or a sequence with one for each block.

    Attributes:
        attention: Ratio p for the spikes of Q, K and the attention scores A.
        mlp: Ratio for the spikes that enter the two linear layers of each MLP.
        conv: Ratio for the spikes that enter convolutions.
        blocks: Numbers of the blocks to mask, counted from 0 at the input; ``None`` for all.

    Raises:
        ValueError: a ratio outside [0, 1), or blocks that are not whole numbers >= 0.
    """

    attention: float | Sequence[float] = 0.0
    mlp: float | Sequence[float] = 0.0
    conv: float | Sequence[float] = 0.0
    blocks: Iterable[int] | None = None

    def __post_init__(self) -> None:
        for kind in KINDS:
            ratio = getattr(self, kind)
            if isinstance(ratio, Sequence) and not isinstance(ratio, str):
                object.__setattr__(self, kind, tuple(ratio))
            for number in self.ratios(kind):
                check_ratio(number, f"Masking({kind}=…)")
        if self.blocks is not None:
            blocks = tuple(self.blocks) if isinstance(self.blocks, Iterable) else (None,)
            if not all(isinstance(b, int) and b >= 0 for b in blocks):
                raise ValueError(f"blocks must be whole numbers >= 0, not {self.blocks!r}")
            object.__setattr__(self, "blocks", tuple(sorted(set(blocks))))

    def ratios(self, kind: str) -> tuple[float, ...]:
        """Return the ratios for one kind of site: one for each block, or a single one for all."""
        ratio = getattr(self, kind)
        return ratio if isinstance(ratio, tuple) else (ratio,)

    def ratio(self, kind: str, block: int) -> float:
        """Return the ratio for one kind of site ("attention", "mlp", "conv") in one block."""
        if self.blocks is not None and block not in self.blocks:
            return 0.0
        ratio = getattr(self, kind)
        return ratio[block] if isinstance(ratio, tuple) else ratio

    def __bool__(self) -> bool:
        return any(any(self.ratios(kind)) for kind in KINDS) and self.blocks != ()


def check_ratio(ratio: float, name: str = "the mask ratio") -> None:
    """Raise ``ValueError`` unless the ratio lies in [0, 1)."""
    if not (isinstance(ratio, int | float) and math.isfinite(ratio) and 0 <= ratio < 1):
        raise ValueError(f"{name} must be in [0, 1), not {ratio!r}")


def _mix(h: Tensor) -> Tensor:
    """Scramble 32-bit integers (two multiply–xorshift rounds; int32 products wrap around)."""
    h = (h ^ ((h >> 16) & 0xFFFF)) * 0x7FEB352D
    h = (h ^ ((h >> 15) & 0x1FFFF)) * -0x7B935975  # 0x846CA68B as a signed number
    return h ^ ((h >> 16) & 0xFFFF)


def mask_numbers(
    seed: int,
    site: int,
    steps: range,
    images: Sequence[int],
    units: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Give every spike its own random whole number below 2^24, by hashing what it is.

    Args:
        seed: The run's seed.
        site: Number of the masked layer within the network.
        steps: Time steps.
        images: Positions of the images in the run.
        units: Neurons of the layer.
        device: Where to make them.

    Returns:
        int32 tensor ``(len(steps), len(images), units)``.
    """
    axis = {"dtype": torch.int32, "device": device}
    head = _mix(torch.tensor(seed & _SEEDS, **axis) + 0x5BD1E995)
    head = _mix(head ^ torch.tensor(site, **axis))
    step, image = torch.tensor(steps, **axis), torch.tensor(images, **axis)
    head = _mix(_mix(head ^ step)[:, None] ^ image)
    return (_mix(head[..., None] ^ torch.arange(units, **axis)) >> 8) & 0xFFFFFF


class RandomSpikeMask(nn.Module):
    """The place of a mask: passes its input through, or drops each entry with probability p.

    Dropped entries become 0 and the others are *not* rescaled, as in the paper: unlike dropout, the
    mask works in training and in inference, and what it removes is really not sent.

    Args:
        kind: "attention", "mlp" or "conv".
        block: Number of the block it belongs to.
        site: Its own number within the network.
        alone: Nothing else reads the spikes that enter it.

    Attributes:
        in_place: Drop spikes where they are, and do not copy them, until `set` is called again:
            `simulate` asks for it where a mask is alone and no hook is watching.
    """

    def __init__(self, kind: str, block: int, site: int, alone: bool = False) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")
        self.kind, self.block, self.site, self.alone = kind, block, site, alone
        self.ratio, self.seed, self.in_place = 0.0, 0, False
        self.begin(range(1), range(0))
        self.reset()

    def reset(self) -> None:
        """Forget the count of delivered spikes."""
        self.delivered = 0

    def set(self, masking: Masking, seed: int) -> None:
        """Take this site's ratio from `masking`; start its random numbers at `seed`."""
        self.ratio, self.seed, self.in_place = masking.ratio(self.kind, self.block), seed, False

    def begin(self, steps: range, images: Sequence[int]) -> None:
        """Say which time steps and images the next input holds (no images: count them)."""
        self.steps, self.images = steps, images

    def forward(self, x: Tensor) -> Tensor:
        """Mask ``(T·B·w, ...)``, the same shape; returns `x` itself at ratio 0."""
        if self.ratio > 0:
            images = self.images or range(len(x))
            stacked = x.reshape(len(self.steps), len(images), -1)
            limit = int(self.ratio * 2**_BITS)
            if compiled_for(x) and not x.requires_grad:
                passed = stacked if self.in_place else stacked.clone()
                which = (np.array(axis, dtype=np.uint32) for axis in (self.steps, images))
                self.delivered += drop(passed.numpy(), self.seed & _SEEDS, self.site, *which, limit)
            else:
                units = stacked.shape[-1]
                numbers = mask_numbers(self.seed, self.site, self.steps, images, units, x.device)
                passed = stacked * (numbers >= limit)
                self.delivered += int(torch.count_nonzero(passed))
            x = passed.view(x.shape)
            if not self.images:  # outside a simulation each call is a step of its own
                self.steps = range(self.steps.start + 1, self.steps.stop + 1)
        return x

    def extra_repr(self) -> str:
        """Show where it sits and its ratio."""
        return f"{self.kind}, block={self.block}, ratio={self.ratio}"


def set_masking(model: nn.Module, masking: Masking | None, seed: int = 0) -> None:
    """Set every mask of a network, trained or converted; ``None`` removes all masking.

    Raises:
        ValueError: the masking names a block or a kind of site that the network does not have, or
            gives one ratio for each block and the network has another number of blocks.
    """
    masking = masking or Masking()
    sites = [m for m in model.modules() if isinstance(m, RandomSpikeMask)]
    for kind in KINDS:
        blocks = {m.block for m in sites if m.kind == kind}
        if any(masking.ratios(kind)) and not blocks:
            have = sorted({m.kind for m in sites}) or "none"
            raise ValueError(f"this network has no {kind!r} masks (it has: {have})")
        given = getattr(masking, kind)
        if isinstance(given, tuple) and blocks and len(given) != 1 + max(blocks):
            raise ValueError(
                f"{len(given)} {kind} ratios for the {1 + max(blocks)} blocks of this network"
            )
    blocks = {m.block for m in sites}
    unknown = set(masking.blocks or ()) - blocks
    if unknown:
        raise ValueError(f"no block {sorted(unknown)} to mask; this network has {sorted(blocks)}")
    for site in sites:
        site.set(masking, seed)
        site.begin(range(1), range(0))
