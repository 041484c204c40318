"""Switch parts of the attention off, to learn whether a network uses them.

A mask on Q, K or A can only matter where attention does. Each lesion holds for a network while the
``with`` block runs, in training as in inference, before conversion as after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from mstlib.models.watching import watching

# The layer whose output becomes zero, by the last piece of its name.
LESIONS = {
    "branch": "attn",  # the attention adds nothing to the residual stream
    "scores": "attn_if",  # A ≡ 0; position bias, softmax and V go on
}


@contextmanager
def lesion(model: nn.Module, kind: str | None) -> Iterator[None]:
    """Silence a part of every attention of a network.

    Args:
        model: A network of `mstlib.models.swin`, trained or converted.
        kind: ``"branch"`` zeroes the output of each attention; ``"scores"`` zeroes the attention
            scores A and keeps the position bias; ``None`` leaves the network whole.

    Raises:
        ValueError: the lesion is unknown, or the network has no such layer.
    """
    if kind is not None and kind not in LESIONS:
        raise ValueError(f"lesion must be None or one of {tuple(LESIONS)}, not {kind!r}")
    layers = [m for n, m in model.named_modules() if kind and n.split(".")[-1] == LESIONS[kind]]
    if kind is not None and not layers:
        raise ValueError(f"this network has no layer {LESIONS[kind]!r} to silence")
    with watching(dict.fromkeys(layers, _zero)):
        yield


def _zero(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output * 0
