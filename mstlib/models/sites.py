"""The spiking layers of a Masked Spiking Transformer: where each belongs and which mask it meets.

Layers and masks are known by their names, which are keys of checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """What is known of a spiking layer.

    Attributes:
        module: The part of the network that it belongs to, "attention", "mlp" or "embedding"; or
            "other", of another network. What turns a block's input into spikes is counted with what
            it feeds.
        sends: What its spikes are: "q", "k", "v", "a", "mlp" (masked there) or "other".
        mask: The end of the name of the mask that they meet, in the place of the layer's own; "" if
            they meet none.
    """

    module: str
    sends: str = "other"
    mask: str = ""


# The layers of a block by their names within it, in the order in which they are run.
BLOCK = {
    "shortcut1_if": Site("attention"),
    "attn.q_if": Site("attention", "q", "attn.q_mask"),
    "attn.k_if": Site("attention", "k", "attn.k_mask"),
    "attn.v_if": Site("attention", "v"),
    "attn.attn_if": Site("attention", "a", "attn.attn_mask"),
    "attn.attn_v_if": Site("attention"),
    "attn.proj_if": Site("attention"),
    "shortcut2_if": Site("mlp", "mlp", "mlp.in_mask"),
    "mlp.fc1_if": Site("mlp", "mlp", "mlp.hidden_mask"),
    "mlp.fc2_if": Site("mlp"),
}
EMBEDDING = ("patch_embed.", "reduction.")  # how the names begin of layers before the blocks
_MERGED = "downsample.reduction_if"


def site_of(layer: str) -> Site:
    """Return what is known of a spiking layer."""
    if layer.startswith(EMBEDDING) or layer.endswith(_MERGED):
        return Site("embedding")
    return BLOCK.get(_within(layer, BLOCK), Site("other"))


def mask_after(layer: str) -> str | None:
    """Return the name of the mask that the spikes of a layer meet; ``None`` if they meet none."""
    mask = site_of(layer).mask
    return layer.removesuffix(_within(layer, BLOCK)) + mask if mask else None


def layer_before(mask: str) -> str:
    """Return the name of the layer whose spikes meet a mask of a block."""
    ends = {site.mask: end for end, site in BLOCK.items() if site.mask}
    end = _within(mask, ends)
    return mask.removesuffix(end) + ends[end]


def _within(name: str, ends: dict[str, object]) -> str:
    """Return which of some ends, whole names between dots, a name has; "" for none."""
    return next((end for end in ends if f".{name}".endswith(f".{end}")), "")


def layer_names(depths: tuple[int, ...]) -> list[str]:
    """Return the names of all spiking layers of a network with these depths, as they are run."""
    names = ["patch_embed.proj_if"]
    for stage, blocks in enumerate(depths):
        names += [f"layers.{stage}.blocks.{b}.{name}" for b in range(blocks) for name in BLOCK]
        if stage < len(depths) - 1:
            names.append(f"layers.{stage}.{_MERGED}")
    return names


def block_name(depths: tuple[int, ...], block: int) -> str:
    """Return the name of a block, counted from 0 at the input.

    Raises:
        ValueError: there is no such block.
    """
    left = block
    for stage, blocks in enumerate(depths):
        if 0 <= left < blocks:
            return f"layers.{stage}.blocks.{left}"
        left -= blocks
    raise ValueError(f"block must be a whole number from 0 to {sum(depths) - 1}, not {block!r}")
