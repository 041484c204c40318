"""Each reader against readers that others wrote, where these are installed.

SpikingJelly is among the project's dependencies, though some of its data sets ask for a torchaudio
that fits PyTorch; tonic is not, it is under the GPL. To run all tests, install it where this Python
finds it.
"""

import sys
import warnings
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from event_cases import as_events, some_events

from mstlib.data.events import read_events, write_events

N = 20_000


def oracle(module: str) -> ModuleType:
    """A module of another library, or a skipped test that says what to install."""
    try:
        with warnings.catch_warnings(action="ignore"):  # theirs
            return import_module(module)
    except (ImportError, RuntimeError) as error:  # torchaudio raises both: it must fit PyTorch
        if module in sys.modules:  # read before a neighbour of it failed, and complete
            return sys.modules[module]
        pytest.skip(f"compares with {module}, which cannot be imported here: {error}")


def assert_equal(events: np.ndarray, **theirs: np.ndarray) -> None:
    for field, values in theirs.items():
        np.testing.assert_array_equal(events[field], np.asarray(values).astype("i8"), field)


def test_aedat2_against_spikingjelly(tmp_path):
    theirs = oracle("spikingjelly.datasets.cifar10_dvs")
    path = tmp_path / "a.aedat"
    write_events(path, some_events("aedat2", N, last=2**32), "aedat2")
    assert_equal(read_events(path), **theirs._load_origin_data(path))


def test_aedat2_against_tonic(tmp_path):
    # tonic gives the bits as they are, as "x" those of the row, as "y" those of the column.
    io = oracle("tonic.io")
    path = tmp_path / "a.aedat"
    write_events(path, some_events("aedat2", N), "aedat2")
    _, start, _ = io.read_aedat_header_from_file(path)
    raw = io.get_aer_events_from_file(path, 2.0, start)
    row, column = raw["address"] >> 8 & 127, raw["address"] >> 1 & 127
    polarity = 1 - (raw["address"].astype("i8") & 1)
    assert_equal(read_events(path), t=raw["timeStamp"], x=127 - row, y=127 - column, p=polarity)


def test_paf_against_tonic(tmp_path):
    io = oracle("tonic.io")
    path = tmp_path / "a.aedat"
    events = some_events("paf-aedat", N)
    events["y"][0] = 0  # tonic takes a first event of rows 140 to 143, whose byte is "#", for text
    write_events(path, events, "paf-aedat")
    _, _, theirs = io.read_davis_346(path)
    assert_equal(read_events(path), **{field: theirs[field] for field in "txyp"})


def test_atis_against_tonic(tmp_path):
    io = oracle("tonic.io")
    path = tmp_path / "a.bin"
    events = some_events("atis-bin", N, last=10_000_000)  # the clock runs over at 8.4 s
    write_events(path, events, "atis-bin")
    theirs = io.read_mnist_file(path, dtype=io.events_struct)
    assert (events["t"] >= 2**23).any()
    assert_equal(read_events(path), **{field: theirs[field] for field in "txyp"})


def test_atis_against_spikingjelly(tmp_path):
    utils = oracle("spikingjelly.datasets.utils")
    path = tmp_path / "a.bin"
    write_events(path, some_events("atis-bin", N), "atis-bin")  # it knows no running over
    assert_equal(read_events(path), **utils.load_ATIS_bin(path))


def test_asl_against_tonic(tmp_path):
    module = oracle("tonic.datasets.asl_dvs")
    path = tmp_path / "a" / "a_0001.mat"
    path.parent.mkdir()
    write_events(path, some_events("asl-mat", N), "asl-mat")
    theirs = object.__new__(module.ASLDVS)  # its __init__ would look for the whole set
    theirs.data, theirs.targets = [path], [0]
    theirs.transform = theirs.target_transform = theirs.transforms = None
    events, _ = theirs[0]
    assert_equal(read_events(path), **{field: events[field][:, 0] for field in "txyp"})


def test_asl_against_spikingjelly_is_its_mirror(tmp_path):
    module = oracle("spikingjelly.datasets.asl_dvs")
    path, copy = tmp_path / "a.mat", tmp_path / "a.npz"
    write_events(path, as_events([1, 2, 3], [0, 5, 239], [0, 7, 179], [0, 1, 1]), "asl-mat")
    module._read_mat_save_to_np(path, copy)
    theirs = np.load(copy)
    assert_equal(
        read_events(path), t=theirs["t"], x=239 - theirs["x"], y=theirs["y"], p=theirs["p"]
    )
