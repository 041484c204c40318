"""Files of events: each format's bytes as published, both ways, and what is refused."""

import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from event_cases import SUFFIX, aedat, as_events, column, mat, some_events
from scipy.io import loadmat

from mstlib import data
from mstlib.data.events import (
    EVENT,
    FORMATS,
    EventFileError,
    check,
    examine,
    read_events,
    tell_format,
    write_events,
)


@pytest.fixture
def reads(tmp_path):
    """Write bytes to a file and read it as events."""

    def read(content: bytes, format: str | None = None, suffix: str = ".any", **options):
        path = tmp_path / f"recording{suffix}"
        path.write_bytes(content)
        return read_events(path, format, **options)

    return read


# Both ways


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("n", [0, 1, 2, 300, 70_000])
def test_what_is_written_is_read_event_for_event(tmp_path, format, n):
    events = some_events(format, n, seed=n, last=2**32)
    path = tmp_path / f"recording{SUFFIX[format]}"
    write_events(path, events, format)
    assert tell_format(path) == format
    for told in (None, format):
        again = read_events(path, told)
        assert again.dtype == EVENT
        np.testing.assert_array_equal(again, events)
        check(again, FORMATS[format].SIZE)


@pytest.mark.parametrize("format", FORMATS)
def test_every_pixel_and_both_polarities_survive(tmp_path, format):
    height, width = FORMATS[format].SIZE
    y, x, p = (a.ravel() for a in np.mgrid[:height, :width, :2])
    step = max(1, len(x) // 200_000)  # the largest sensor has two million
    events = as_events(np.arange(len(x)), x, y, p)[::step]
    write_events(tmp_path / "all", events, format)
    np.testing.assert_array_equal(read_events(tmp_path / "all", format), events)


@pytest.mark.parametrize("format", FORMATS)
def test_equal_events_are_equal_bytes(tmp_path, monkeypatch, format):
    events = some_events(format, 50)
    write_events(tmp_path / "a", events, format)
    monkeypatch.setattr(time, "asctime", lambda: "Mon Jan  1 00:00:00 2001")  # scipy writes it
    write_events(tmp_path / "b", events, format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["events-digits", "events-motion"])
def test_simulated_recordings_survive_every_format(tmp_path, name, format):
    made = data.recordings(name, n=3)
    for row, (events, _) in enumerate(made):
        path = tmp_path / f"{row}{SUFFIX[format]}"
        write_events(path, events, format)
        assert len(events) > 100
        np.testing.assert_array_equal(read_events(path), events)


# The published layouts, field by field


def test_aedat2_as_dat2mat_reads_it(reads):
    # dat2mat.m, which the makers of CIFAR10-DVS point to: x = 127 - bits 1 to 7, y = bits 8 to 14,
    # and +1 (brighter) for bit 0 clear. Upright, its x is the picture's y from the top.
    for column_bits, row_bits, dark in ((0, 0, 0), (127, 0, 1), (5, 100, 0), (77, 127, 1)):
        (event,) = reads(aedat((row_bits << 8 | column_bits << 1 | dark, 1_000_000)))
        its_x, its_y, its_polarity = 127 - column_bits, row_bits, 1 - 2 * dark
        assert event["y"] == its_x
        assert event["x"] == 127 - its_y
        assert event["p"] == (its_polarity == 1)
        assert event["t"] == 1_000_000


def test_aedat2_is_big_endian_behind_lines_of_text(reads):
    lines = (
        b"# This is a raw AE data file - do not edit",
        b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
        b"# Timestamps tick is 1 us",
        b"# created Thu Dec 03 14:47:00 CET 2015",
    )
    content = aedat(lines=lines) + bytes([0, 0, 0x12, 0x34, 0, 0x01, 0x02, 0x03])
    (event,) = reads(content)
    assert event.tolist() == (0x010203, 127 - 0x12, 127 - 0x1A, 1)


def test_aedat2_skips_signals_at_the_input_pin(reads):
    # iniVation, AEDAT 1.0 and 2.0: bit 15 is an external event.
    events = reads(aedat((0, 5), (0x8000, 6), (0x80000000, 7), (1, 8)), "aedat2")
    assert events["t"].tolist() == [5, 8]


def test_an_event_that_begins_like_a_line_of_text_is_one(reads):
    # Address 0x23…: the byte of "#", on the DAVIS346 row 140. dat2mat.m warns of such files.
    address = 0x23 << 24 | 7 << 12 | 1 << 11
    for content in (aedat((address, 3)), aedat((address, 3), (address, 10))):
        assert reads(content, "paf-aedat")["y"].tolist() == [259 - 140] * ((len(content) - 14) // 8)


def test_paf_as_its_own_script_and_jaer_read_it(reads):
    # sae.py of PAFBenchmark: x = 345 - bits 12 to 21 and y = bits 22 to 30, from below; words with
    # bit 31 are no events. jAER's DavisBaseCamera.java: bit 11 is ON, bit 10 an external event.
    row, col = 200, 300
    event = row << 22 | col << 12 | 1 << 11
    content = aedat(
        (event, 10),
        (0x80000000 | event, 11),  # APS
        (0x80000C00, 12),  # IMU
        (event | 0x400, 13),  # external
        (row << 22 | col << 12, 14),
        lines=(b"# AEChip: eu.seebetter.ini.chips.davis.Davis346red",),
    )
    events = reads(content)
    assert events.tolist() == [(10, 345 - col, 259 - row, 1), (14, 345 - col, 259 - row, 0)]


def test_atis_as_its_authors_describe_it(reads):
    # garrickorchard.com: bits 39-32 x, 31-24 y, 23 polarity, 22-0 time in µs.
    word = 200 << 32 | 100 << 24 | 1 << 23 | 0x123456
    (event,) = reads(word.to_bytes(5, "big"), suffix=".bin")
    assert event.tolist() == (0x123456, 200, 100, 1)


def test_atis_time_runs_over_at_row_240(reads):
    # eventvision.py: each record with y = 240 adds 2^13 µs to all that follow.
    records = [(1, 2, 100), (0, 240, 0), (3, 4, 50), (0, 240, 99), (0, 240, 0), (5, 6, 7)]
    content = b"".join(bytes([x, y]) + t.to_bytes(3, "big") for x, y, t in records)
    events = reads(content, "atis-bin")
    assert events["t"].tolist() == [100, 8192 + 50, 3 * 8192 + 7]
    assert events["x"].tolist() == [1, 3, 5]


def test_atis_overflows_reach_across_blocks(tmp_path):
    # More records than are read at once, with an overflow in the first block only.
    t = np.concatenate([np.zeros(100), np.full(150_000, 2**23 + 5)]).astype("i8")
    events = as_events(t, t * 0, t * 0, t * 0)
    write_events(tmp_path / "long.bin", events, "atis-bin")
    np.testing.assert_array_equal(read_events(tmp_path / "long.bin"), events)


def dat(words: list[tuple[int, int]], *lines: bytes, kind: bytes = b"\x0c\x08") -> bytes:
    text = b"".join(b"% " + line + b"\n" for line in lines)
    return text + kind + b"".join(struct.pack("<II", *word) for word in words)


def test_dat_as_prophesee_describes_it(reads):
    # docs.prophesee.ai, DAT File Format: time, then x in bits 0-13, y in 14-27, polarity above.
    word = 303 | 239 << 14 | 1 << 28
    header = (b"Data file containing CD events", b"Date 2020-09-14 14:18:29", b"Version 2")
    assert reads(dat([(77, word)], *header)).tolist() == [(77, 303, 239, 1)]
    sized = (*header, b"Width 640", b"Height 480")
    assert reads(dat([(77, word)], *sized, kind=b"\x00\x08")).tolist() == [(77, 303, 239, 1)]


@pytest.mark.parametrize("version", [(), (b"Version 1",), (b"Version 0",)])
def test_dat_of_an_older_version_packs_tighter(reads, version):
    # load_cd_data.m: before version 2, x in bits 0-8, y in 9-16, polarity in bit 17.
    word = 303 | 239 << 9 | 1 << 17
    content = dat([(77, word)], b"Data file containing TD events", *version)
    assert reads(content).tolist() == [(77, 303, 239, 1)]


def test_dat_keeps_to_the_sensor_that_it_names(reads):
    header = (b"Version 2", b"Width 304", b"Height 240")
    assert len(reads(dat([(1, 303 | 239 << 14)], *header))) == 1
    with pytest.raises(EventFileError, match="x must be 0 to 303, not 304"):
        reads(dat([(1, 304)], *header))
    with pytest.raises(EventFileError, match="y must be 0 to 719"):
        reads(dat([(1, 720 << 14)], b"Version 2"))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["f8", "i4", "u2"])
def test_asl_as_tonic_reads_it(reads, compressed, dtype):
    # tonic's asl_dvs.py: columns ts, x, y, pol, with y = 179 - y.
    content = mat(
        compressed,
        ts=column(5, 9, 9, dtype=dtype),
        x=column(0, 239, 7, dtype=dtype),
        y=column(0, 179, 100, dtype=dtype),
        pol=column(0, 1, 1, dtype=dtype),
        remark="not a column, and left alone",
    )
    assert reads(content).tolist() == [(5, 0, 179, 0), (9, 239, 0, 1), (9, 7, 79, 1)]


def by_hand(order: str, columns: dict[str, bytes], kinds: dict[str, int]) -> bytes:
    """A level-5 file as MathWorks describes it, with whatever fits in four bytes kept short."""
    content = b"MATLAB 5.0 MAT-file".ljust(124)
    content += b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
    for name, values in columns.items():
        number = len(values) // {2: 1, 6: 4}[kinds[name]]
        body = struct.pack(order + "IIII", 6, 8, 9, 0)  # class: uint8 numbers
        body += struct.pack(order + "IIii", 5, 8, number, 1)
        body += struct.pack(order + "I", len(name) << 16 | 1) + name.encode().ljust(4, b"\0")
        if len(values) <= 4:
            body += struct.pack(order + "I", len(values) << 16 | kinds[name]) + values.ljust(
                4, b"\0"
            )
        else:
            body += struct.pack(order + "II", kinds[name], len(values))
            body += values + b"\0" * (-len(values) % 8)
        content += struct.pack(order + "II", 14, len(body)) + body
    return content


@pytest.mark.parametrize("order", ["<", ">"])
def test_asl_byte_by_byte(reads, order):
    # MathWorks, MAT-File Format, §1: both byte orders, long and short elements.
    columns = {
        "ts": struct.pack(order + "III", 7, 8, 4_000_000_000),
        "x": bytes([0, 100, 239]),
        "y": bytes([179, 0, 9]),
        "pol": bytes([1, 0, 1]),
    }
    content = by_hand(order, columns, {"ts": 6, "x": 2, "y": 2, "pol": 2})
    expected = [(7, 0, 0, 1), (8, 100, 179, 0), (4_000_000_000, 239, 170, 1)]
    assert reads(content).tolist() == expected
    packed = zlib.compress(content[128:])
    wrapped = content[:128] + struct.pack(order + "II", 15, len(packed)) + packed
    assert reads(wrapped).tolist() == expected


def test_asl_files_are_scipys(tmp_path):
    events = some_events("asl-mat", 100)
    write_events(tmp_path / "a.mat", events, "asl-mat")
    columns = loadmat(tmp_path / "a.mat")
    assert {"ts", "x", "y", "pol"} <= columns.keys()
    np.testing.assert_array_equal(columns["ts"][:, 0], events["t"])
    np.testing.assert_array_equal(179 - columns["y"][:, 0].astype(int), events["y"])


# What is refused, and how


def refused(reads, content, *words, format=None, suffix=".any"):
    with pytest.raises(EventFileError) as error:
        reads(content, format, suffix)
    message = str(error.value)
    assert f"recording{suffix}" in message
    for word in words:
        assert word in message


def test_a_file_of_no_format_is_refused_with_those_that_exist(reads):
    refused(reads, b"", "#!AER-DAT2.0", *FORMATS)
    refused(reads, b"\x89HDF\r\n\x1a\n", "no format")


def test_an_unknown_format_is_refused_with_those_that_exist(reads, tmp_path):
    for use in (
        lambda: reads(b"", "aedat4"),
        lambda: write_events(tmp_path / "x", some_events("dat", 3), "aedat4"),
    ):
        with pytest.raises(ValueError, match=r"aedat4.*aedat2, atis-bin, dat, paf-aedat, asl-mat"):
            use()


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_of_another_format_is_refused(reads, format):
    other = mat(ts=column(1)) if format != "asl-mat" else aedat((0, 0))
    refused(reads, other + b"\0" * (len(other) % 5 == 0), format=format)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "asl-mat"])
def test_a_file_that_ends_inside_an_event_is_refused(reads, tmp_path, format):
    write_events(tmp_path / "whole", some_events(format, 3), format)
    refused(reads, (tmp_path / "whole").read_bytes()[:-1], "ends inside an event", format=format)


def test_aedat_of_other_versions_and_cameras_is_refused(reads):
    refused(reads, b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "AEDAT 3.1", "only AEDAT 2.0")
    refused(reads, b"#!AER-DAT2.0", "no end")
    davis240 = aedat((0, 0), lines=(b"# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C",))
    refused(reads, davis240, "DAVIS240C", "DAVIS346")
    davis346 = aedat((0, 0), lines=(b"# AEChip: eu.seebetter.ini.chips.davis.Davis346red",))
    refused(reads, davis346, "Davis346red", "paf-aedat", format="aedat2")
    refused(reads, aedat((1 << 20, 0)), "0x00100000", "paf-aedat", format="aedat2")
    refused(reads, aedat((300 << 22, 0)), "row 300", "260")


def test_dat_of_other_events_is_refused(reads):
    refused(reads, dat([], b"Version 2", kind=b"\x0e\x08"), "type 14", "0 or 12")
    refused(reads, dat([], b"Version 2", kind=b"\x00\x10"), "16 bytes", "8 bytes")
    refused(reads, dat([], b"Version 3"), "version 3")
    refused(reads, dat([], b"Version two"), "Version", "two")
    refused(reads, dat([], b"Version 2", b"Width 99999", b"Height 9"), "16384")
    refused(reads, dat([(1, 5 << 28)], b"Version 2"), "p must be 0", "not 5")
    refused(reads, b"% Version 2", "no end")
    refused(reads, b"% Version 2\n\x00", "type and the size")


@pytest.mark.parametrize("format", FORMATS)
def test_time_that_goes_back_is_refused_or_sorted(reads, tmp_path, format):
    events = some_events(format, 400, last=20)  # many at the same time, whose order must stay
    events["t"][200:] = events["t"][100:300]
    content = FORMATS[format].encode(events)
    refused(reads, content, "time goes back at event 200", "sort=True", format=format)
    again = reads(content, format, sort=True)
    np.testing.assert_array_equal(again, events[np.argsort(events["t"], kind="stable")])
    path = tmp_path / f"back{SUFFIX[format]}"
    path.write_bytes(content)
    assert examine(path, format).back == 1
    np.testing.assert_array_equal(examine(path, format).events, events)


def test_time_that_goes_back_from_one_block_to_the_next_is_found(reads):
    t = np.concatenate([np.full(65_536, 9), np.full(10, 8)])
    content = FORMATS["dat"].encode(as_events(t, t * 0, t * 0, t * 0))
    refused(reads, content, "time goes back at event 65536, from 9 to 8")


def test_a_mat_file_without_the_columns_is_refused(reads):
    good = {"ts": column(1, 2), "x": column(1, 2), "y": column(1, 2), "pol": column(0, 1)}
    assert len(reads(mat(**good))) == 2
    for name in good:
        refused(reads, mat(**{k: v for k, v in good.items() if k != name}), f"lacks {name}")
        refused(reads, mat(**good | {name: column(1)}), "unequal")
        refused(reads, mat(**good | {name: np.ones((2, 2))}), name, "[2, 2]")
        refused(reads, mat(**good | {name: np.ones((1, 2))}), name, "[1, 2]")
        refused(reads, mat(**good | {name: "ab"}), name, "class 4")
        refused(reads, mat(**good | {name: column(1, 1) * 1j}), name, "real numbers")
        refused(reads, mat(**good | {name: np.full((2, 1), "", object)}), name, "class 1")
        for value in (1.5, np.nan, np.inf, 1e300, -1):
            refused(reads, mat(**good | {name: column(1, value)}), f"{value}", f"{name} of event 1")
    refused(reads, mat(**good | {"y": column(1, 180)}), "y of event 1", "179")
    refused(reads, mat(**good | {"x": column(1, 240)}), "x of event 1", "239")
    refused(reads, mat(**good | {"pol": column(1, 2)}), "pol of event 1", "0 to 1")
    refused(reads, b"MATLAB 7.3 MAT-file".ljust(512, b"\0"), "level 5")


def test_writing_refuses_what_a_format_cannot_hold(tmp_path):
    good = some_events("aedat2", 5)
    for format, (height, width) in ((name, module.SIZE) for name, module in FORMATS.items()):
        for field, value in (("x", width), ("y", height), ("p", 2)):
            bad = good.copy()
            bad[field][3] = value
            with pytest.raises(ValueError, match=rf"{format} cannot hold .*event 3 .*{field} must"):
                write_events(tmp_path / "x", bad, format)
        late = good.copy()
        late["t"][-1] = 2**32
        with pytest.raises(ValueError, match=rf"{format} holds times from 0 to 4294967295"):
            write_events(tmp_path / "x", late, format)
    with pytest.raises(TypeError, match="EVENT"):
        write_events(tmp_path / "x", np.zeros(3), "dat")
    assert not (tmp_path / "x").exists()


def test_a_file_that_is_not_there_is_no_valueerror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "none.aedat")


# Speed


@pytest.mark.parametrize("format", ["aedat2", "atis-bin", "dat", "paf-aedat"])
def test_reading_is_not_much_slower_than_reading_bytes(tmp_path, format):
    path = tmp_path / f"long{SUFFIX[format]}"
    n = 2_000_000
    write_events(path, some_events(format, n), format)

    def best(run) -> float:
        times = []
        for _ in range(5):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        return min(times)

    # A plain pass over the numbers: read them, and write what an event takes.
    def plain():
        np.fromfile(path, "u1")
        np.zeros(n, EVENT)["t"] += 1

    ratio = best(lambda: read_events(path)) / best(plain)
    assert ratio < 12, f"{ratio:.1f} times a plain pass"


@pytest.mark.parametrize("format", ["aedat2", "atis-bin", "dat", "paf-aedat"])
def test_reading_takes_little_more_memory_than_the_events(tmp_path, format):
    path = tmp_path / f"long{SUFFIX[format]}"
    events = some_events(format, 1_000_000)
    write_events(path, events, format)
    tracemalloc.start()
    read_events(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < events.nbytes + 2**23


# Saying what is in a file


def test_a_report_counts_what_is_there(tmp_path):
    events = as_events([0, 250_000, 500_000], [1, 2, 30], [4, 5, 6], [1, 1, 0])
    write_events(tmp_path / "a.dat", events, "dat")
    report = examine(tmp_path / "a.dat")
    assert report.format == "dat"
    assert report.size == (7, 31)  # the header does not say, so what was seen
    assert report.duration == 500_000
    assert report.rate == 6
    assert report.brighter == pytest.approx(2 / 3)
    assert report.back == 0
    write_events(tmp_path / "none.aedat", events[:0], "paf-aedat")
    empty = examine(tmp_path / "none.aedat")
    assert (empty.size, empty.duration, empty.rate, empty.brighter) == ((260, 346), 0, 0, 0)


def test_check_names_the_first_event_that_is_wrong():
    events = as_events([0, 5, 4], [0, 0, 0], [0, 0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match=r"event 2 \(t = 4"):
        check(events)
    with pytest.raises(ValueError, match="x must be 0 to 9"):
        check(as_events([0], [10], [0], [0]), (10, 10))
    with pytest.raises(TypeError, match="EVENT"):
        check(np.zeros((2, 2), EVENT))
    with pytest.raises(TypeError, match="list"):
        check([1, 2])
    assert len(check(np.empty(0, EVENT), (1, 1))) == 0
