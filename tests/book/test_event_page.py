"""The page on files of events shows the bytes that are written."""

import re

import pytest
from event_cases import as_events
from places import ROOT

from mstlib.data.events import FORMATS, published

PAGE = (ROOT / "book" / "event_files.md").read_text(encoding="utf-8")
EVENTS = as_events([1000, 1007], [3, 120], [5, 90], [1, 0])


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "asl-mat"])
def test_the_bytes_shown_are_those_written(format):
    (shown,) = re.findall(rf"```text {format}\n(.*?)```", PAGE, re.DOTALL)
    assert FORMATS[format].encode(EVENTS).endswith(bytes.fromhex(shown))
    assert len(bytes.fromhex(shown)) == 2 * (5 if format == "atis-bin" else 8)


def test_the_columns_shown_are_those_written():
    columns = FORMATS["asl-mat"]._columns(FORMATS["asl-mat"].encode(EVENTS))
    for name, (first, second) in columns.items():
        assert f"| `{name}` | {first} | {second} |" in PAGE


def test_the_page_tells_where_to_get_every_set():
    for name, known in published.SETS.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
        (link,) = re.findall(r"https://\S+", known.download)
        assert f"({link})" in row
