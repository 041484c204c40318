"""Three thousand broken files of each format: the library's own error or valid events, at once."""

import os
import random
import time
import tracemalloc
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from event_cases import SUFFIX, aedat, as_events, column, mat, some_events

from mstlib.data.events import FORMATS, EventFileError, check, read_events

INPUTS = 3_000
SECONDS, BYTES = 2, 500 * 2**20

_SIZES = [0, 1, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]


def seeds(format: str) -> list[bytes]:
    """Good files to break: without events, with a few, and with what a format has besides."""
    encode = FORMATS[format].encode
    good = [encode(some_events(format, n, seed=n)) for n in (0, 1, 12)]
    if format == "atis-bin":
        good.append(encode(as_events([0, 9_000_000, 9_100_000], [1, 2, 3], [0, 0, 0], [1, 1, 0])))
    if format == "dat":
        sized = good[-1].replace(b"2\n", b"2\n% Width 1280\n% Height 720\n", 1)
        good += [sized, good[-1].replace(b"% Version 2\n", b"")]
    if format in ("aedat2", "paf-aedat"):
        good.append(aedat((0x1234, 1), (0x80000000, 2), (0x8400, 3), (0x24, 4)))
    if format == "asl-mat":
        columns = {"ts": column(1, 2, 2), "x": column(1, 2, 3), "y": column(1, 2, 3)}
        good.append(mat(False, **columns, pol=column(0, 1, 1, dtype="u1")))
        good.append(mat(False, **columns, pol=column(0, 1, 1) > 0, note="text", more=[[1, 2]]))
    return good


def broken(rng: random.Random, good: bytes, other: bytes) -> bytes:
    """One file, broken in one or more ways."""
    content = bytearray(good)
    for _ in range(rng.randint(1, 3)):
        way, at = rng.randrange(7), rng.randrange(len(content) + 1)
        if way == 0 and content:  # flipped bits
            for _ in range(rng.randint(1, 8)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif way == 1:  # absurd sizes
            content[at : at + 4] = rng.choice(_SIZES).to_bytes(4, rng.choice(["big", "little"]))
        elif way == 2:  # cut out, or off
            del content[at : at + rng.randint(1, 60)]
        elif way == 3:  # put in
            content[at:at] = rng.randbytes(rng.randint(1, 20))
        elif way == 4:  # time going back, and all else
            content = content[:at] + content[at:][::-1] if rng.random() < 0.5 else content + content
        elif way == 5:  # the beginning of another format
            content[: rng.randint(1, 140)] = other[: rng.randint(1, 140)]
        else:  # noise
            content[at : at + 16] = rng.randbytes(16)
    return bytes(content)


def inputs(format: str):
    """Every truncation of every good file, then files broken at random, 3,000 in all."""
    rng = random.Random(format)
    good = seeds(format)
    others = [seeds(name)[-1] for name in FORMATS if name != format]
    count = 0
    for content in good:
        for length in range(len(content)):
            yield content[:length]
            count += 1
    while count < INPUTS:
        content = broken(rng, rng.choice(good), rng.choice(others))
        if format == "asl-mat" and rng.random() < 0.5:  # damage behind a sound compression
            packed = zlib.compress(content[128:], 1)
            label = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
            content = content[:128] + label + packed
        yield content
        count += 1


@pytest.fixture
def memory(tmp_path):
    """A folder in memory where the system has one: so many files would keep a disk busy."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.parametrize("format", FORMATS)
def test_every_broken_file_is_refused_clearly_or_read_as_valid_events(memory, format):
    path = memory / f"broken{SUFFIX[format]}"
    outcomes = {"events": 0, "refused": 0}
    slowest = largest = count = 0
    tracemalloc.start()
    try:
        for content in inputs(format):
            path.write_bytes(content)
            tracemalloc.reset_peak()
            start = time.process_time()
            try:
                # Half of them are told by their content, as a reader does who gives no format.
                events = read_events(path, format if count % 2 else None, sort=count % 4 > 1)
                message = None
            except EventFileError as error:
                events, message = None, str(error)
            slowest = max(slowest, time.process_time() - start)
            largest = max(largest, tracemalloc.get_traced_memory()[1])
            if events is None:
                assert str(path) in message
                assert len(message) < 600
            else:
                check(events, FORMATS[format].SIZE if count % 2 else None)
                assert len(events) <= len(content)
            outcomes["refused" if events is None else "events"] += 1
            count += 1
    finally:
        tracemalloc.stop()
    assert count >= INPUTS
    assert slowest < SECONDS
    assert largest < BYTES
    assert min(outcomes.values()) >= INPUTS / 100, outcomes  # the breaking is neither none nor all


def bomb(size: int, head: bytes = b"") -> bytes:
    """A compressed element of zeros behind a head, far larger than its file."""
    pack = zlib.compressobj(9)
    chunk = bytes(2**20)
    packed = pack.compress(head)
    packed += b"".join(pack.compress(chunk) for _ in range(size >> 20)) + pack.flush()
    start = mat(ts=column(1))[:128]
    return start + b"\x0f\0\0\0" + len(packed).to_bytes(4, "little") + packed


def rows(claimed: tuple[int, int], kind: int = 6, announced: int | None = None) -> bytes:
    """A .mat file whose ts claims to be of a certain shape."""
    two = column(0, 1)
    content = bytearray(mat(False, ts=two, x=two, y=two, pol=two))
    # Ahead of the name: its label of 4 bytes, the dimensions (8), their label (8), the class (8).
    name = content.index(b"ts", 128)
    content[name - 12 : name - 4] = np.array(claimed, "<i4").tobytes()
    content[name - 28] = kind
    if announced is not None:
        content[132:136] = announced.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bomb(2**28, b"\x0e\0\0\0\xf8\xff\xff\x0f"), "larger than 67108864 bytes"),
        (bomb(2**25), "more than 1000 elements"),
        (rows((2**31 - 1, 1)), "does not have the 2147483647 real numbers"),
        (rows((3, 1)), "does not have the 3 real numbers"),
        (rows((2**31 - 1, 2**31 - 1)), "no column of numbers"),
        (rows((-1, 1)), "does not have the -1 real numbers"),
        (rows((2**30, 1), kind=1), "class 1"),  # cells
        (rows((2**30, 1), kind=4), "class 4"),  # text
        (rows((2, 1), announced=2**32 - 1), "announces 4294967295 bytes"),
        (rows((2, 1))[:-1], r"announces \d+ bytes where \d+ are left"),
    ],
    ids=[
        "bomb",
        "empty elements",
        "rows",
        "a row",
        "columns",
        "negative",
        "cells",
        "text",
        "announced",
        "cut off",
    ],
)
def test_absurd_sizes_cost_neither_memory_nor_time(tmp_path, content, why):
    path = tmp_path / "absurd.mat"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        start = time.process_time()
        with pytest.raises(EventFileError, match=rf"absurd\.mat .*{why}"):
            read_events(path)
        assert time.process_time() - start < SECONDS
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
