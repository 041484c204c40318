"""The ``.mat`` files of ASL-DVS, of a DAVIS240C camera.

MATLAB's level-5 format with four columns of equal length: ``ts``, the time in microseconds, ``x``,
``y`` and ``pol`` (1 brighter, 0 darker). y is counted from below, and turned over here as tonic's
``asl_dvs.py`` does, so that the origin is top left. (SpikingJelly turns x over as well; the two
differ by a mirror.)

scipy.io reads the columns. It trusts a file's sizes, so this module first unpacks the compressed
parts itself, within a limit, and lets scipy see only parts that are wholly there.
"""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mstlib.data.events.blocks import Stream
from mstlib.data.events.event import EventFileError

SIZE = (180, 240)
LAST = 2**32 - 1  # µs
NAMES = ("ts", "x", "y", "pol")

_LIMIT = 1 << 26  # bytes of a whole file, unpacked: two million events, where a recording has 10^4
_HEADER = 128
_COMPRESSED = 15  # miCOMPRESSED
_NUMBERS = (
    "double",
    "single",
    "logical",
    *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
)


def read(path: Path, file: BinaryIO) -> Stream:
    """Open the events.

    Raises:
        EventFileError: no level-5 .mat file, cut off, too large, or without the four columns.
    """
    from scipy.io import loadmat, whosmat

    content = _unpack(path, file)
    try:
        # Whatever scipy stumbles over, and in whatever way, is the file's fault.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = {name: (shape, kind) for name, shape, kind in whosmat(io.BytesIO(content))}
            _check(path, found, len(content))
            columns = loadmat(io.BytesIO(content), variable_names=NAMES)
    except EventFileError:
        raise
    except Exception as error:
        raise EventFileError(f"{path} is damaged: {error}") from error
    t, x, y, p = (_whole(path, name, columns[name]) for name in NAMES)
    if (y >= SIZE[0]).any():
        raise EventFileError(f"{path}: y must be 0 to {SIZE[0] - 1}, not {y.max()}")
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


def _unpack(path: Path, file: BinaryIO) -> bytes:
    """The file with its compressed parts unpacked."""
    file.seek(0)
    packed = file.read(_LIMIT + 1)
    if not packed.startswith(b"MATLAB "):
        raise EventFileError(f"{path} is no .mat file: it does not begin with 'MATLAB '")
    if len(packed) < _HEADER or packed[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise EventFileError(f"{path} is no .mat file of level 5 (save it with MATLAB's '-v7')")
    order = "<" if packed[126:128] == b"IM" else ">"
    parts, total, place = [packed[:_HEADER]], _HEADER, _HEADER
    while place < len(packed) and total <= _LIMIT:
        if place + 8 > len(packed):
            raise EventFileError(f"{path} ends inside the label of a variable")
        kind, size = struct.unpack_from(order + "II", packed, place)
        end = place + 8 + size
        if end > len(packed):
            raise EventFileError(
                f"{path} ends inside a variable: {size} bytes are announced, "
                f"{len(packed) - place - 8} are there"
            )
        part = packed[place:end]
        if kind == _COMPRESSED:
            part = _inflate(path, part[8:], _LIMIT - total)
        parts.append(part)
        total, place = total + len(part), end
    if total > _LIMIT or len(packed) > _LIMIT:
        raise EventFileError(f"{path} is larger than {_LIMIT} bytes, unpacked; no recording is")
    return b"".join(parts)


def _inflate(path: Path, packed: bytes, limit: int) -> bytes:
    """One compressed part, or a little more than the limit of it."""
    unpack = zlib.decompressobj()
    try:
        part = unpack.decompress(packed, limit + 1)
    except zlib.error as error:
        raise EventFileError(f"{path} is damaged: {error}") from error
    if len(part) <= limit and not unpack.eof:
        raise EventFileError(f"{path} is damaged: a compressed variable is not whole")
    return part


def _check(path: Path, found: dict[str, tuple[tuple[int, ...], str]], limit: int) -> None:
    """Refuse anything but four columns of numbers that can be in a file of this many bytes."""
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise EventFileError(
            f"{path} lacks {', '.join(missing)}: a recording has the columns {', '.join(NAMES)}"
        )
    for name in NAMES:
        shape, kind = found[name]
        # A short column takes no more than a byte a number.
        column = len(shape) == 2 and (shape[1] == 1 or shape == (0, 0)) and 0 <= shape[0] <= limit
        if kind not in _NUMBERS or not column:
            raise EventFileError(
                f"{path}: {name} must be one column of numbers, not {kind} of shape {shape}"
            )
    lengths = {name: found[name][0][0] for name in NAMES}
    if len(set(lengths.values())) > 1:
        raise EventFileError(f"{path}: columns of unequal length, {lengths}")


def _whole(path: Path, name: str, column: np.ndarray) -> np.ndarray:
    """A column as whole numbers, 0 or more, int64 (n,)."""
    values = column.ravel()
    with np.errstate(invalid="ignore"):
        whole = values.astype("i8")
    if (whole != values).any() or (whole < 0).any() or (whole > LAST).any():
        raise EventFileError(f"{path}: {name} must hold whole numbers from 0 to {LAST}")
    return whole
