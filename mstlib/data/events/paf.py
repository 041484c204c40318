"""AEDAT 2.0 of a DAVIS346 camera, as in the Action Recognition set of PAFBenchmark.

The file is that of `aedat2`; the address is that of another camera:

| bits | hold |
|---|---|
| 31 | 1 for a sample of the picture (APS) or of the motion sensor (IMU), which is no event |
| 30 to 22 | row, counted from below |
| 21 to 12 | column, counted from the right |
| 11 | 1 brighter, 0 darker |
| 10 | 1 for a signal at the camera's input pin, which is no event |

(iniVation, "AEDAT 2.0", docs.inivation.com; jAER, ``DavisChip.java`` and ``DavisBaseCamera.java``).
That these files are AEDAT 2.0, of 346x260 pixels, and that the samples are to be skipped is in the
scripts of the set (``sae.py`` in CrystalMiaoshu/PAFBenchmark). Those scripts keep y from below and
turn the picture over when they show it, and they call bit 11 the other way round; jAER, which
recorded the files, and tonic call it as here.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.aedat2 import header, pack
from mstlib.data.events.blocks import Fields, Stream, records
from mstlib.data.events.event import EventFileError

SIZE = (260, 346)
CHIP = "eu.seebetter.ini.chips.davis.Davis346red"

_NO_EVENT = 0x80000400  # bits 31 and 10


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events of a DAVIS346.

    Raises:
        EventFileError: no AEDAT 2.0, of another camera, or cut off.
    """
    chip, offset = header(path, file)
    if chip and "davis346" not in chip.lower():
        raise EventFileError(
            f"{path} was recorded by {chip}: paf-aedat is for a DAVIS346, aedat2 for a DVS128"
        )
    count, blocks = records(path, file, offset, ">u4", 2)
    return Stream(count, SIZE, (_fields(path, block) for block in blocks))


def encode(events: np.ndarray) -> bytes:
    """The events as a file."""
    height, width = SIZE
    row = height - 1 - events["y"].astype("u4")
    column = width - 1 - events["x"].astype("u4")
    return pack(CHIP, row << 22 | column << 12 | events["p"].astype("u4") << 11, events["t"])


def _fields(path: Path, block: np.ndarray) -> Fields:
    address, t = block.astype("u4").T
    if (address & _NO_EVENT).any():
        event = (address & _NO_EVENT) == 0
        address, t = address[event], t[event]
    height, width = SIZE
    row, column = address >> 22, address >> 12 & 1023
    if ((row >= height) | (column >= width)).any():
        raise EventFileError(
            f"{path}: an address has row {row.max()} and column {column.max()}; those of a "
            f"DAVIS346 are below {height} and {width}"
        )
    return t, width - 1 - column, height - 1 - row, address >> 11 & 1
