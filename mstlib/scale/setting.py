"""What a training is asked for beside its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class Setting:
    """What a training is asked for beside its recipe.

    Attributes:
        out: Folder of its state, metrics and results.
        root: Folder of the data sets you download; see `mstlib.data.load`.
        seed: Decides the first weights, the order of the images and all that is drawn.
        precision: "no" for float32 throughout; "bf16" or "fp16" for matrix products in half
            precision. The floor of QCFS, norms' statistics and softmax stay in float32.
        tensorboard: Write for TensorBoard, too.
        progress: Show progress.
    """

    out: Path
    root: Path | None = None
    seed: int = 0
    precision: str = "no"
    tensorboard: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, not {self.precision!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be a whole number >= 0, not {self.seed}")
