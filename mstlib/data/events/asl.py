"""The ``.mat`` files of ASL-DVS, of a DAVIS240C camera.

MATLAB's level-5 format with four columns of equal length: ``ts``, the time in microseconds, ``x``,
``y`` and ``pol`` (1 brighter, 0 darker). y is counted from below, and turned over here as tonic's
``asl_dvs.py`` does, so that the origin is top left. (SpikingJelly turns x over as well; the two
differ by a mirror.)

Behind 128 bytes, the last four of which tell version and byte order, a level-5 file is a row of
elements: a type, a size in bytes, and so many bytes; up to four bytes may stand in the place of
the size. A variable is an element that holds elements: class, dimensions, name, values. It may be
compressed by zlib (MathWorks, "MAT-File Format", §1). scipy writes such files here. It does not
read them, because it trusts what a file says of itself: a damaged one can end the whole program.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.blocks import LAST, Stream
from mstlib.data.events.event import EventFileError

SIZE = (180, 240)
NAMES = ("ts", "x", "y", "pol")

_LIMIT = 1 << 26  # bytes of a whole file, unpacked: two million events, where a recording has 10^4
_MOST = 1000  # elements in a row, where a recording has four
_TOO_LARGE = f"is larger than {_LIMIT} bytes, unpacked; no recording is"
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC = range(6, 16)  # classes: double, single, and eight kinds of integers
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}


class _Damaged(Exception):
    """What is wrong with a file, before its name is put in front."""


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events.

    Raises:
        EventFileError: no level-5 .mat file, cut off, too large, or without the four columns.
    """
    file.seek(0)
    try:
        columns = _columns(file.read(_LIMIT + 1))
    except _Damaged as error:
        raise EventFileError(f"{path} {error}") from error
    t, x, y, p = (columns[name] for name in NAMES)
    return Stream(len(t), SIZE, iter([(t, x, SIZE[0] - 1 - y, p)]))


def encode(events: np.ndarray) -> bytes:
    """The events as a file, compressed as MATLAB does."""
    from scipy.io import savemat

    columns = {
        "ts": events["t"].astype("u4"),
        "x": events["x"].astype("u1"),
        "y": (SIZE[0] - 1 - events["y"]).astype("u1"),
        "pol": events["p"],
    }
    file = io.BytesIO()
    savemat(file, columns, do_compression=True, oned_as="column")
    # scipy writes the date into the text; equal events shall be equal bytes.
    return b"MATLAB 5.0 MAT-file".ljust(116) + file.getvalue()[116:]


def _columns(content: bytes) -> dict[str, np.ndarray]:
    """The four columns of a file, each of whole numbers, int64 (n,)."""
    if not content.startswith(b"MATLAB "):
        raise _Damaged("is no .mat file: it does not begin with 'MATLAB '")
    if len(content) < _HEADER or content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise _Damaged("is no .mat file of level 5 (save it with MATLAB's '-v7')")
    order = "<" if content[126:128] == b"IM" else ">"
    columns = {}
    for variable in _variables(content, order):
        columns |= _column(variable, order)
    missing = [name for name in NAMES if name not in columns]
    if missing:
        raise _Damaged(f"lacks {', '.join(missing)}: a recording has columns {', '.join(NAMES)}")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise _Damaged(f"has columns of unequal length: {lengths}")
    return columns


def _variables(content: bytes, order: str) -> Iterator[bytes]:
    """The variables of a file, unpacked."""
    total = len(content)
    if total > _LIMIT:
        raise _Damaged(_TOO_LARGE)
    for kind, data in _elements(content[_HEADER:], order):
        if kind == _MATRIX:
            yield data
        elif kind == _COMPRESSED:
            unpacked = _inflate(data, _LIMIT - total)
            total += len(unpacked)
            yield from (inner for kind, inner in _elements(unpacked, order) if kind == _MATRIX)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements in a row of bytes: the type of each and its content."""
    place = count = 0
    while place < len(data):
        count += 1
        if place + 8 > len(data):
            raise _Damaged("ends inside the label of an element")
        if count > _MOST:
            raise _Damaged(f"has more than {_MOST} elements; a recording has four")
        kind, size = struct.unpack_from(order + "II", data, place)
        start = place + 8
        if kind >> 16:  # a short element
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + size > len(data) or (start < place + 8 and size > 4):
            raise _Damaged(f"announces {size} bytes where {len(data) - start} are left")
        yield kind, data[start : start + size]
        # All but the compressed are filled up to eight bytes.
        place = start + size if kind == _COMPRESSED else place + -(-(start + size - place) // 8) * 8


def _inflate(packed: bytes, limit: int) -> bytes:
    """A compressed element unpacked."""
    unpack = zlib.decompressobj()
    try:
        data = unpack.decompress(packed, limit + 1)
    except zlib.error as error:
        raise _Damaged(f"is damaged: {error}") from error
    if len(data) > limit:
        raise _Damaged(_TOO_LARGE)
    if not unpack.eof:
        raise _Damaged("is damaged: a compressed variable is not whole")
    return data


def _column(variable: bytes, order: str) -> dict[str, np.ndarray]:
    """The values of a variable by its name, or nothing if it is not one of the four."""
    parts = []
    for part in _elements(variable, order):
        parts.append(part)
        if len(parts) == 3 and parts[2][1] not in (name.encode() for name in NAMES):
            return {}
    if len(parts) < 3:
        raise _Damaged("has a variable without class, dimensions and name")
    (_, flags), (_, shape), (_, label), *values = parts
    name = label.decode()
    shape = np.frombuffer(shape[: len(shape) // 4 * 4], order + "i4").tolist()
    kind = struct.unpack_from(order + "I", flags)[0] & 0xFF if len(flags) >= 4 else 0
    if len(shape) != 2 or not (shape[1] == 1 or shape == [0, 0]) or kind not in _NUMERIC:
        raise _Damaged(f"has no column of numbers as {name}, but class {kind} of shape {shape}")
    code = _TYPES.get(values[0][0]) if len(values) == 1 else None
    if code is None or len(values[0][1]) != shape[0] * np.dtype(code).itemsize:
        raise _Damaged(f"does not have the {shape[0]} real numbers that it announces as {name}")
    return {name: _whole(name, np.frombuffer(values[0][1], order + code))}


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    """A column as whole numbers within what it may hold, int64 (n,)."""
    last = {"ts": LAST, "x": SIZE[1] - 1, "y": SIZE[0] - 1, "pol": 1}[name]
    wrong = ~((values >= 0) & (values <= last))
    whole = np.where(wrong, 0, values).astype("i8")
    wrong |= whole != values
    if wrong.any():
        row = int(wrong.argmax())
        raise _Damaged(
            f"has {values[row]} as {name} of event {row}, which must be a whole number from 0 to "
            f"{last}"
        )
    return whole
