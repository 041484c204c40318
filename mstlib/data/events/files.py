"""Files of events: reading and writing them, whatever the format.

| format | files of | module |
|---|---|---|
| aedat2 | CIFAR10-DVS: AEDAT 2.0, DVS128 | `aedat2` |
| atis-bin | N-Caltech101: 40-bit events, ATIS | `atis` |
| dat | N-Cars: Prophesee .dat | `dat` |
| paf-aedat | Action Recognition: AEDAT 2.0, DAVIS346 | `paf` |
| asl-mat | ASL-DVS: MATLAB level 5 | `asl` |
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mstlib.data.events import aedat2, asl, atis, dat, paf
from mstlib.data.events.blocks import LAST, fill
from mstlib.data.events.event import EventFileError, check

FORMATS = {"aedat2": aedat2, "atis-bin": atis, "dat": dat, "paf-aedat": paf, "asl-mat": asl}


def read_events(path: str | Path, format: str | None = None, *, sort: bool = False) -> np.ndarray:
    """Read a file of events.

    Args:
        path: the file.
        format: one of `FORMATS`; None to tell it from the file, see `tell_format`.
        sort: put events whose time goes back in order (those of equal time stay as they are),
            instead of refusing the file.

    Returns:
        The events, `EVENT` (n,), with the origin top left; valid by `check`. Times are the file's
        own, in microseconds: most clocks did not start with the recording.

    Raises:
        EventFileError: a ValueError; the file is not of the format, is cut off or damaged, or
            its time goes back.
        ValueError: unknown format.
        OSError: no such file, or it may not be read.
    """
    events, _, _ = _read(Path(path), format, "sort" if sort else "refuse")
    return events


def write_events(path: str | Path, events: np.ndarray, format: str) -> None:
    """Write a file of events, the inverse of `read_events`.

    Args:
        path: the file; one that exists is written over.
        events: `EVENT` (n,).
        format: one of `FORMATS`.

    Raises:
        ValueError: unknown format, events that are not valid, or ones that the format cannot
            hold, because its sensor is smaller or its clock shorter.
        TypeError: no array of `EVENT`.
    """
    module = _module(format)
    try:
        check(events, module.SIZE)
    except ValueError as error:
        raise ValueError(f"{format} cannot hold these events: {error}") from None
    if len(events) and events["t"][-1] > LAST:
        raise ValueError(f"{format} holds times from 0 to {LAST} µs; the last is {events['t'][-1]}")
    Path(path).write_bytes(module.encode(events))


def tell_format(path: str | Path) -> str:
    """Tell the format of a file from how it begins, and a .bin file, which has no mark, by name.

    Of the two kinds of AEDAT 2.0, the header names the camera; where it does not, the addresses
    tell, since those of a DVS128 have 16 bits.

    Raises:
        EventFileError: it is of none of the formats.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(16)
        if path.suffix.lower() == ".bin":
            return "atis-bin"
        if start.startswith(b"% "):
            return "dat"
        if start.startswith(b"MATLAB "):
            return "asl-mat"
        if start.startswith(b"#!AER-DAT"):
            chip, offset = aedat2.header(path, file)
            if chip:
                return "paf-aedat" if "davis" in chip.lower() else "aedat2"
            file.seek(offset)
            return "paf-aedat" if _wide(file.read(1 << 16)) else "aedat2"
    raise EventFileError(
        f"{path} is of no format that is known here: a file begins with '#!AER-DAT2.0', '% ' or "
        f"'MATLAB ', or its name ends in .bin. If you know better, give one of {', '.join(FORMATS)}"
    )


@dataclass(frozen=True)
class Report:
    """What a file of events holds.

    Attributes:
        format: one of `FORMATS`.
        size: (height, width) of the sensor, or of the pixels seen where the format does not say.
        sensor: whether the size is the sensor's.
        events: the events, `EVENT` (n,), in the order of the file.
        back: how often time goes back.
    """

    format: str
    size: tuple[int, int]
    sensor: bool
    events: np.ndarray
    back: int

    @property
    def duration(self) -> int:
        """From the earliest event to the latest, in microseconds."""
        t = self.events["t"]
        return int(t.max() - t.min()) if len(t) else 0

    @property
    def rate(self) -> float:
        """Events a second; 0 where there is no duration."""
        return len(self.events) / self.duration * 1e6 if self.duration else 0.0

    @property
    def brighter(self) -> float:
        """The share of events that say brighter, 0 to 1."""
        return float(self.events["p"].mean()) if len(self.events) else 0.0


def examine(path: str | Path, format: str | None = None) -> Report:
    """Read a file and say what it holds, even if its time goes back.

    Raises:
        EventFileError: as `read_events`, but for time going back.
    """
    path = Path(path)
    format = format or tell_format(path)
    events, back, size = _read(path, format, "keep")
    sensor = size is not None
    if not sensor:
        size = tuple(int(events[name].max()) + 1 if len(events) else 0 for name in "yx")
    return Report(format, size, sensor, events, back)


def _read(
    path: Path, format: str | None, order: str
) -> tuple[np.ndarray, int, tuple[int, int] | None]:
    module = _module(format or tell_format(path))
    with path.open("rb") as file:
        stream = module.read(path, file)
        events, back = fill(path, stream, order)
    return events, back, stream.size


def _module(format: str) -> object:
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    return FORMATS[format]


def _wide(pairs: bytes) -> bool:
    """Whether any of these addresses and times has an address of more than 16 bits that count."""
    whole = np.frombuffer(pairs[: len(pairs) // 8 * 8], ">u4")[::2]
    return bool((whole & 0x7FFF0000).any())
