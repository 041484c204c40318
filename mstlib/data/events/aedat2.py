r"""AEDAT 2.0 of a DVS128 camera, as in CIFAR10-DVS.

Lines of text that begin with ``#`` and end with ``\r\n``, the first ``#!AER-DAT2.0``; then, for
each event, two big-endian 32-bit numbers: an address and a time in microseconds (iniVation, "AEDAT
2.0", docs.inivation.com). Of the address of a DVS128

| bits | hold |
|---|---|
| 15 | 1 for a signal at the camera's input pin, which is no event |
| 14 to 8 | row |
| 7 to 1 | column |
| 0 | 0 brighter, 1 darker |

(jAER, ``DVS128.java`` and ``dat2mat.m``: the polarity is stored upside down). CIFAR10-DVS was
recorded with the camera turned on its side, so the rows are the picture's columns. With the origin
top left and the picture upright, x is 127 less the row and y is 127 less the column, as in
SpikingJelly's ``cifar10_dvs.py``. In the terms of ``dat2mat.m``, whose picture lies on its side,
y is its x and x is 127 less its y.
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.blocks import Fields, Stream, records
from mstlib.data.events.event import EventFileError

SIZE = (128, 128)
CHIP = "ch.unizh.ini.jaer.chip.retina.DVS128"

_CHIPS = ("dvs128", "tmpdiff128", "teresa")  # those that dat2mat.m names
_MAGIC = b"#!AER-DAT"
_END = b"#End Of ASCII Header"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f]")  # all but the tab
_LONGEST_HEADER = 1 << 20
_SPECIAL = 0x80008000  # bit 15, and jAER's own mark of such an event
_UNUSED = 0x7FFF0000


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events of a DVS128.

    Raises:
        EventFileError: no AEDAT 2.0, of another camera, or cut off.
    """
    chip, offset = header(path, file)
    if chip and not any(known in chip.lower() for known in _CHIPS):
        raise EventFileError(
            f"{path} was recorded by {chip}: aedat2 is for a DVS128, paf-aedat for a DAVIS346"
        )
    count, blocks = records(path, file, offset, ">u4", 2)
    return Stream(count, SIZE, (_fields(path, block) for block in blocks))


def encode(events: np.ndarray) -> bytes:
    """The events as a file."""
    address = (127 - events["x"].astype("u4")) << 8 | (127 - events["y"].astype("u4")) << 1
    return pack(CHIP, address | (1 - events["p"]), events["t"])


def header(path: Path, file: BinaryIO) -> tuple[str, int]:
    """Read the lines of text of an AEDAT 2.0 file.

    Returns:
        The name of the camera's chip in jAER, or "" where the file does not say, and the offset
        of the first event in bytes.

    Raises:
        EventFileError: another format or version, or the lines have no end.
    """
    file.seek(0)
    text = file.read(_LONGEST_HEADER)
    if not text.startswith(_MAGIC):
        raise EventFileError(f"{path} is no AEDAT file: it does not begin with {_MAGIC.decode()}")
    chip, offset = "", 0
    while text[offset : offset + 1] == b"#":
        end = text.find(b"\n", offset)
        line = text[offset:end] if end >= 0 else text[offset:]
        # The address of an event can begin with the byte of "#". A line of text has no control
        # characters; the other bytes of an event almost surely have, and jAER skips such events.
        if _CONTROL.search(line.rstrip(b"\r")):
            break
        if end < 0:
            raise EventFileError(
                f"{path}: the lines of text before the events have no end within {len(text)} bytes"
            )
        if offset == 0 and line.rstrip() != _MAGIC + b"2.0":
            version = line[len(_MAGIC) :].decode("latin-1").strip()[:20]
            raise EventFileError(f"{path} is AEDAT {version}; only AEDAT 2.0 is read")
        if b"AEChip:" in line:
            chip = line.split(b"AEChip:")[1].decode("latin-1").strip()
        offset = end + 1
        if line.startswith(_END):
            break
    if offset == 0:
        raise EventFileError(f"{path} is no AEDAT file: its first line is not text")
    return chip, offset


def pack(chip: str, addresses: np.ndarray, t: np.ndarray) -> bytes:
    """An AEDAT 2.0 file of these addresses and times, uint32 (n,) and int64 (n,)."""
    lines = [
        _MAGIC + b"2.0",
        b"# This is a raw AE data file - do not edit",
        b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
        b"# Timestamps tick is 1 us",
        b"# AEChip: " + chip.encode(),
        _END,
    ]
    pairs = np.stack([addresses, t], axis=1).astype(">u4")
    return b"".join(line + b"\r\n" for line in lines) + pairs.tobytes()


def _fields(path: Path, block: np.ndarray) -> Fields:
    address, t = block.astype("u4").T
    if (address & (_SPECIAL | _UNUSED)).any():
        event = (address & _SPECIAL) == 0
        address, t = address[event], t[event]
        if (address & _UNUSED).any():
            wrong = int(address[(address & _UNUSED) != 0][0])
            raise EventFileError(
                f"{path}: the address {wrong:#010x} is beyond 16 bits, so not that of a DVS128. "
                "If a DAVIS346 recorded the file, read it as paf-aedat."
            )
    # Times are unsigned here, as SpikingJelly reads them: a signed one would end after 36 minutes.
    return t, 127 - (address >> 8 & 127), 127 - (address >> 1 & 127), 1 - (address & 1)
