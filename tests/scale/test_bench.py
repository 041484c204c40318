"""The benchmark runs and its file holds everything; how fast anything is, is not judged here."""

import json
import os
import re
import statistics
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from places import ROOT
from tiny import tiny

import mstlib
from mstlib.models.layers import Product

sys.path.insert(0, str(ROOT / "tools"))

from benchmark import floor, memory, networks, timing


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What the quick benchmark printed, and its file.

    One thread: two would wait for each other, where other tests keep the cores busy.
    """
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "tools/bench.py", "--quick", "--repeats", "3", "--threads", "1"]
    command += ["--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


def numbers(report):
    """Everything that was timed: (samples by name, medians by name)."""
    for timed in (*report["contests"], report["masks"]):
        yield timed["samples"], timed["medians"]
    for row in report["scaling"]:
        yield dict(enumerate(row["samples"])), dict(enumerate(row["medians"]))


def test_the_file_holds_everything(written):
    _, report = written
    assert report["quick"] is True
    assert report["repeats"] == 3
    assert report["machine"]["threads"] == 1
    assert torch.__version__.startswith(report["machine"]["versions"]["torch"])
    contestants = {"engine", "loop", "bare loop", "floor"}
    if find_spec("spikingjelly"):
        contestants.add("spikingjelly")
    for row in report["contests"]:
        assert set(row["samples"]) == set(row["medians"]) == set(row["ratios"]) == contestants
        assert set(row["agreement"]) == contestants - {"floor"}
        assert min(row["agreement"].values()) >= 0.75, "they did not do the same work"
        assert row["ratios"]["engine"] == 1
        assert row["network"] in report["networks"]
    for network in report["networks"].values():
        assert 0.02 < network["firing_rate"] < 0.9
        assert network["quietest_layer"] > 0
    assert sum(report["shares"]["shares"].values()) == pytest.approx(1, abs=0.2)
    assert min(report["shares"]["shares"].values()) > 0
    assert all(row["bytes"]["engine"] > 0 for row in report["memory"])
    assert [row["against"] for row in report["scaling"]] == ["steps", "images", "tokens", "blocks"]
    assert set(report["masks"]["ratios"]) == {"none", "attention", "attention and mlp"}


def test_medians_are_those_of_every_sample(written):
    _, report = written
    for samples, medians in numbers(report):
        for name, seconds in samples.items():
            assert len(seconds) == 3
            assert min(seconds) > 0
            assert medians[name] == statistics.median(seconds)
    for row in report["scaling"]:
        x, y = np.log(row["values"]), np.log(row["medians"])
        assert row["slope"] == pytest.approx(np.polyfit(x, y, 1)[0])


def test_what_is_printed_and_written_names_no_place(written):
    output, report = written
    text = output + json.dumps(report)
    assert "engine" in output
    assert ("SpikingJelly is not installed" in output) == (find_spec("spikingjelly") is None)
    assert not re.search(r"/(home|work|tmp|root|Users)\b", text)
    assert os.uname().nodename not in re.findall(r"[\w.-]+", text)


def test_work_is_taken_in_turn_after_one_warm_up():
    calls = []
    works = {name: lambda name=name: calls.append(name) or name for name in "ABC"}
    samples, results = timing.in_turn(works, repeats=2)
    assert calls == list("ABC" * 3)
    assert results == {"A": "A", "B": "B", "C": "C"}
    assert [len(seconds) for seconds in samples.values()] == [2, 2, 2]


def test_the_peak_of_memory_is_seen():
    megabyte = 2**20
    for size in (64, 256):
        peak = memory.peak_memory(lambda size=size: bytearray(size * megabyte) and None)
        assert peak == pytest.approx(size * megabyte, rel=0.1)


def test_the_floor_computes_every_product_of_a_forward_pass():
    ann = tiny()
    work = sum(
        2 * a[0] * a[1] * b[1] if kind in ("addmm", "mm") else 2 * a[0] * a[1] * a[2] * b[2]
        for kind, (a, b) in ((p.kind, p.shapes) for p in floor.products(ann))
        if kind != "convolution"
    )
    expected = []

    def count(module, inputs, output):
        expected.append(2 * output.numel() * inputs[0].shape[-1])

    for module in ann.modules():
        if isinstance(module, torch.nn.Linear | Product):
            module.register_forward_hook(count)
    ann(torch.zeros(1, 3, 16, 16))
    assert work == sum(expected)
    convolutions = [p for p in floor.products(ann) if p.kind == "convolution"]
    assert [p.shapes for p in convolutions] == [((1, 3, 16, 16), (12, 3, 4, 4))]


@pytest.mark.parametrize("kind", ["addmm", "bmm", "convolution"])
def test_all_ways_to_compute_a_product_give_the_same(kind):
    shapes = {
        "addmm": ((16, 12), (12, 20)),
        "bmm": ((6, 4, 5), (6, 5, 3)),
        "convolution": ((1, 3, 16, 16), (12, 3, 4, 4)),
    }[kind]
    (product,) = (p for p in floor.products(tiny()) if p.kind == "convolution")
    options = product.options if kind == "convolution" else ()
    ways = floor._ways(floor.Product(kind, shapes, options), block=8)
    results = {way: work() for way, work in ways.items()}
    assert set(results) >= ({"addmm", "1×1 convolution"} if kind == "addmm" else {kind})
    rows = {
        way: x.movedim(1, -1).reshape(-1, 20) if x.ndim == 4 and kind == "addmm" else x
        for way, x in results.items()
    }
    first = next(iter(rows.values()))
    assert len(first) == 8 * shapes[0][0]
    for way, x in rows.items():
        torch.testing.assert_close(x, first, msg=way)


def test_a_shipped_set_of_images_is_repeated_where_more_are_asked_for():
    _, few = networks.load("mst-digits", 3)
    _, many = networks.load("mst-digits", 600)
    available, _ = mstlib.data.load("digits", "test")
    assert (len(few), len(many)) == (3, 600)
    assert torch.equal(many[len(available) :], many[: 600 - len(available)])
