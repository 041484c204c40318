"""A set of recordings as a torch data set of stacked frames, one recording in memory at a time."""

import torch
from torch.utils.data import Dataset

from mstlib.data.events.event import Recordings
from mstlib.data.events.frames import scaled, stack


class Framed(Dataset):
    """Pairs of 8 stacked, scaled frames, float32 (16, side, side), and a label, made on demand.

    Args:
        recordings: the set.
        side: their height and width, in cells.
        size: their height and width in pixels, cells repeated; None for a pixel a cell.
    """

    def __init__(self, recordings: Recordings, side: int = 32, size: int | None = None) -> None:
        self.recordings, self.side, self.size = recordings, side, size

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        row = range(len(self))[row]
        counts, labels = stack(self.recordings[row : row + 1], side=self.side)
        image = scaled(counts).flatten(1, 2)
        if self.size is not None:
            size = (self.size, self.size)
            image = torch.nn.functional.interpolate(image, size, mode="nearest-exact")
        return image[0], int(labels[0])
