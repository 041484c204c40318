"""What the tests of event files share: events to write, and files written byte by byte."""

import io
import struct

import numpy as np
from scipy.io import savemat

from mstlib.data.events import EVENT, FORMATS

SUFFIX = {
    "aedat2": ".aedat",
    "atis-bin": ".bin",
    "dat": ".dat",
    "paf-aedat": ".aedat",
    "asl-mat": ".mat",
}


def some_events(format: str, n: int, seed: int = 0, last: int = 3_000_000) -> np.ndarray:
    """Random events that the format can hold."""
    rng = np.random.default_rng(seed)
    height, width = FORMATS[format].SIZE
    return as_events(
        np.sort(rng.integers(0, last, n)),
        rng.integers(0, width, n),
        rng.integers(0, height, n),
        rng.integers(0, 2, n),
    )


def as_events(t, x, y, p) -> np.ndarray:
    events = np.empty(len(t), EVENT)
    events["t"], events["x"], events["y"], events["p"] = t, x, y, p
    return events


def aedat(*pairs: tuple[int, int], lines: tuple[bytes, ...] = ()) -> bytes:
    """AEDAT 2.0: big-endian addresses and times behind lines of text."""
    text = b"".join(line + b"\r\n" for line in (b"#!AER-DAT2.0", *lines))
    return text + b"".join(struct.pack(">II", *pair) for pair in pairs)


def mat(compressed: bool = True, **columns) -> bytes:
    """A level-5 .mat file of these variables, as scipy writes it."""
    file = io.BytesIO()
    savemat(file, columns, do_compression=compressed)
    return file.getvalue()


def column(*values: int, dtype: str = "f8") -> np.ndarray:
    return np.array(values, dtype)[:, None]
