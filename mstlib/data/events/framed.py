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
        side: their height and width.
    """

    def __init__(self, recordings: Recordings, n: int = 8, side: int = 32) -> None:
        self.recordings, self.n, self.side = recordings, n, side

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        row = range(len(self))[row]
        counts, labels = stack(self.recordings[row : row + 1], self.n, side=self.side)
        return scaled(counts).flatten(1, 2)[0], int(labels[0])
