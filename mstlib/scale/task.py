"""What a network is judged by, and the images for it in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from mstlib import data
from mstlib.data import standins
from mstlib.data.checks import check_count, check_size, shuffled
from mstlib.data.events.framed import Framed
from mstlib.data.places import FOLDERS
from mstlib.masking import Masking
from mstlib.scale.batches import Source, file_of


@dataclass(frozen=True)
class Task:
    """What a network is to be judged by: all but the network.

    Attributes:
        data: Name of the data set; its test images are used.
        root: Folder of the sets you download; see `mstlib.data.load`.
        images: How many, in the order of `mstlib.data.load`; ``None`` for all.
        steps: T.
        masking: Random spike masking.
        seed: Of the masks.
        size: Height and width of the images; ``None`` for those of the set. See
            `mstlib.data.dataset`, as for the next.
        side: Cells of a frame of events along each side.
    """

    data: str
    root: str | Path | None = None
    images: int | None = None
    steps: int = 64
    masking: Masking = field(default_factory=Masking)
    seed: int = 0
    size: int | None = None
    side: int = 32

    def samples(self, split: str = "test") -> Dataset:
        """Open the images, in their order.

        Args:
            split: "test", which evaluations take, or "train".
        """
        if self.data not in standins.names():
            images, labels = data.load(self.data, split, self.images)
            if self.size is not None:
                sides = (check_size(self.size),) * 2
                images = torch.nn.functional.interpolate(images, sides, mode="bilinear")
            return TensorDataset(images, labels)
        whole = data.dataset(self.data, split, self.root, self.size, self.side)
        count = check_count(len(whole) if self.images is None else self.images, len(whole))
        # Recordings come in this order already.
        order = shuffled(len(whole), 0) if self.data in FOLDERS else range(len(whole))
        return Subset(whole, [int(row) for row in order[:count]])

    def source(self) -> Source:
        """Open the test images, in their order, with their labels and what each is read from."""
        opened = _Opened(self.samples())
        return Source(self.data, "test", opened.labels(), opened.image, opened.place)


class _Opened:
    """What `Task.samples` gives, as a `Source` wants it; processes that read can be sent it."""

    def __init__(self, samples: Dataset) -> None:
        self.samples = samples

    def labels(self) -> Tensor:
        if isinstance(self.samples, TensorDataset):
            return self.samples.tensors[1]
        whole = self.samples.dataset
        known = whole.recordings.labels if isinstance(whole, Framed) else whole.targets
        return torch.tensor([int(known[row]) for row in self.samples.indices])

    def image(self, index: int) -> Tensor:
        return self.samples[index][0]

    def place(self, index: int) -> str:
        if isinstance(self.samples, TensorDataset):
            return "a tensor"
        whole, row = self.samples.dataset, self.samples.indices[index]
        return f"recording {row}" if isinstance(whole, Framed) else file_of(whole, row)
