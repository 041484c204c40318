r"""Prophesee's ``.dat``, as in N-Cars.

Lines of text that begin with ``% `` and end with ``\n``; a byte for the type of the events and one
for their size, which is 8; then, for each event, two little-endian 32-bit numbers: a time in
microseconds and, in the lowest bits first, x, y and the polarity (1 brighter). In version 2 they
take 14, 14 and 4 bits; in files that name an older version, or none, 9, 8 and 1 (Prophesee, "DAT
File Format", docs.prophesee.ai; ``load_cd_data.m`` for the older one). The files of N-Cars are of
version 2 and do not say how large the sensor is. The origin is top left.
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.blocks import SENSOR, Fields, Stream, records
from mstlib.data.events.event import EventFileError

SIZE = SENSOR

_TYPES = (0, 12)  # Event2d and EventCd
_LONGEST_HEADER = 1 << 16
_HEADER = b"% Data file containing CD events.\n% Version 2\n"


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events.

    Raises:
        EventFileError: no .dat of change-detection events, of a later version, or cut off.
    """
    words, offset = _header(path, file)
    version = _number(path, words, "Version")
    if version > 2:
        raise EventFileError(f"{path} is of version {version} of .dat; versions up to 2 are read")
    size = tuple(_number(path, words, keyword) for keyword in ("Height", "Width"))
    if max(size) > 2**14:
        raise EventFileError(f"{path}: Height and Width must be up to {2**14}, not {size}")
    count, blocks = records(path, file, offset, "<u4", 2)
    bits = (14, 14, 4) if version == 2 else (9, 8, 1)
    return Stream(count, size if all(size) else None, (_fields(block, *bits) for block in blocks))


def encode(events: np.ndarray) -> bytes:
    """The events as a file of version 2."""
    x, y, p = (events[name].astype("<u4") for name in "xyp")
    pairs = np.stack([events["t"].astype("<u4"), x | y << 14 | p << 28], axis=1)
    return _HEADER + bytes([_TYPES[1], 8]) + pairs.astype("<u4").tobytes()


def _header(path: Path, file: BinaryIO) -> tuple[dict[str, str], int]:
    """The values of the header by their keywords, and where the events begin, in bytes."""
    file.seek(0)
    text = file.read(_LONGEST_HEADER)
    if not text.startswith(b"% "):
        raise EventFileError(f"{path} is no .dat file: it does not begin with '% '")
    words, offset = {}, 0
    while text.startswith(b"% ", offset):
        end = text.find(b"\n", offset)
        if end < 0:
            raise EventFileError(
                f"{path}: the lines of text before the events have no end within {len(text)} bytes"
            )
        keyword, _, value = text[offset + 2 : end].decode("latin-1").strip().partition(" ")
        words[keyword] = value.strip()
        offset = end + 1
    kind = text[offset : offset + 2]
    if len(kind) < 2:
        raise EventFileError(f"{path} ends where the type and the size of its events should be")
    if kind[0] not in _TYPES or kind[1] != 8:
        raise EventFileError(
            f"{path} holds events of type {kind[0]} and {kind[1]} bytes; change-detection events "
            f"are of type {' or '.join(map(str, _TYPES))} and 8 bytes"
        )
    return words, offset + 2


def _number(path: Path, words: dict[str, str], keyword: str) -> int:
    value = words.get(keyword, "0")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise EventFileError(f"{path}: {keyword} must be a whole number, not {value[:20]!r}")
    return int(value)


def _fields(block: np.ndarray, x_bits: int, y_bits: int, p_bits: int) -> Fields:
    t, word = block.astype("u4").T
    x = word & (1 << x_bits) - 1
    y = word >> x_bits & (1 << y_bits) - 1
    return t, x, y, word >> (x_bits + y_bits) & (1 << p_bits) - 1
