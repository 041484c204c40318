"""A set of recordings as a torch data set of stacked frames, one recording in memory at a time."""

import torch
from torch.utils.data import Dataset

from mstlib.data.events.event import Recordings
from mstlib.data.events.frames import scaled, stack


class Framed(Dataset):
    """Pairs of stacked, scaled frames, float32 (2·n, side, side), and a label, made when asked for.

    Args:
        recordings: the set.
        n: frames of each recording.
        side: their height and width, in cells.
        size: their height and width in pixels, cells repeated; None for a pixel a cell.
    """

    def __init__(
        self, recordings: Recordings, n: int = 8, side: int = 32, size: int | None = None
    ) -> None:
        self.recordings, self.n, self.side, self.size = recordings, n, side, size

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        row = range(len(self))[row]
        counts, labels = stack(self.recordings[row : row + 1], self.n, side=self.side)
        image = scaled(counts).flatten(1, 2)
        if self.size is not None:
            size = (self.size, self.size)
            image = torch.nn.functional.interpolate(image, size, mode="nearest-exact")
        return image[0], int(labels[0])
