"""Events on the command line: what a file holds, in another format, and a model on a stored set."""

import json

import numpy as np
import pytest
from event_cases import SUFFIX, as_events, some_events
from event_sets import build
from matplotlib.image import imread
from tiny import tiny

from mstlib.checkpoints.hub import save_model
from mstlib.cli import main
from mstlib.data.events import FORMATS, published, read_events, write_events
from mstlib.data.events.picture import BRIGHTER, DARKER, SHADES, picture, sketch


@pytest.mark.parametrize("format", FORMATS)
def test_info_tells_the_format_and_what_is_there(tmp_path, capsys, format):
    path = tmp_path / f"a{SUFFIX[format]}"
    events = some_events(format, 500)
    write_events(path, events, format)
    assert main(["events", "info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["events"], facts["time_goes_back"]) == (format, 500, 0)
    assert facts["duration_us"] == events["t"][-1] - events["t"][0]
    assert facts["brighter"] == pytest.approx(events["p"].mean(), abs=1e-6)
    assert facts["size_is_the_sensors"] == (format not in ("atis-bin", "dat"))
    assert main(["events", "info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}  {format}"
    assert "  events          500" in lines
    assert "  time goes back  never" in lines
    drawn = [line for line in lines if line.startswith("  |")]
    assert max(map(len, drawn)) == min(map(len, drawn)) == 64 + 4


def test_info_reads_a_file_whose_time_goes_back(tmp_path, capsys):
    path = tmp_path / "a.dat"
    events = as_events([5, 3, 4, 2], [1] * 4, [1] * 4, [1] * 4)
    path.write_bytes(FORMATS["dat"].encode(events))
    assert main(["events", "info", str(path)]) == 0
    out = capsys.readouterr().out
    assert "time goes back  2 times" in out
    assert "duration        0.000003 s, from 0.000002 s" in out


def test_info_saves_a_picture_instead(tmp_path, capsys):
    write_events(tmp_path / "a.aedat", some_events("aedat2", 90), "aedat2")
    words = ["events", "info", str(tmp_path / "a.aedat"), "--png", str(tmp_path / "a.png")]
    assert main(words) == 0
    assert "|" not in capsys.readouterr().out
    assert imread(tmp_path / "a.png").shape[:2] == (512, 512)
    write_events(tmp_path / "a.aedat", some_events("aedat2", 0), "aedat2")
    assert main(words) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_bad_files_are_refused_by_name(tmp_path, capsys):
    path = tmp_path / "a.aedat"
    assert main(["events", "info", str(path)]) == 2
    assert "No such file" in capsys.readouterr().err
    path.write_bytes(b"#!AER-DAT3.1\r\n")
    assert main(["events", "info", str(path)]) == 2
    assert capsys.readouterr().err == f"mst: {path} is AEDAT 3.1; only AEDAT 2.0 is read\n"
    assert main(["events", "info", str(path), "--format", "aedat"]) == 2
    assert "choose one of aedat2, atis-bin" in capsys.readouterr().err


def test_convert_writes_the_same_events_in_another_format(tmp_path, capsys):
    events = some_events("aedat2", 70)
    write_events(tmp_path / "a.aedat", events, "aedat2")
    for format in FORMATS:
        target = tmp_path / f"b{SUFFIX[format]}"
        words = ["events", "convert", str(tmp_path / "a.aedat"), str(target), "--to", format]
        assert main(words) == 0
        assert capsys.readouterr().out == f"{target}: 70 events as {format}\n"
        np.testing.assert_array_equal(read_events(target, format), events)
    write_events(tmp_path / "large.dat", some_events("dat", 70), "dat")
    target = tmp_path / "small.bin"
    assert (
        main(["events", "convert", str(tmp_path / "large.dat"), str(target), "--to", "atis-bin"])
        == 2
    )
    assert "atis-bin cannot hold these events" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:.* of the .* recordings of")
@pytest.mark.parametrize("name", published.SETS)
def test_evaluate_runs_on_every_stored_set(tmp_path, capsys, name):
    build(tmp_path / "sets", name, numbers=range(12))
    model = tiny(image_size=32, patch_size=8, in_channels=16)
    classes = model.config.classes
    small = save_model(model, tmp_path / "small")
    line = f"evaluate {small} --data {name} --root {tmp_path / 'sets'} --images 3 --steps 2 --json"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["data"], report["images"]) == (name, 3)
    asked = len(published.SETS[name].classes)
    note = f"mst: {small} tells {classes} classes apart and {name} has {asked}: its accuracy"
    assert err.startswith(note) == (asked != classes)
    assert main(f"evaluate {small} --data {name} --root {tmp_path / 'none'}".split()) == 2
    assert f"Download {published.SETS[name].download}" in capsys.readouterr().err


def test_a_sketch_is_darker_where_more_events_are():
    events = as_events(np.arange(14), [0] + [3] * 4 + [2] * 9, [0] + [0] * 4 + [1] * 9, [0] * 14)
    lines = sketch(events, (4, 4))
    assert lines == [f"{SHADES[3]} {SHADES[9]}{SHADES[6]}", "    "]
    assert sketch(events[:0], (4, 4)) == ["    ", "    "]
    assert sketch(events[:0], (0, 0)) == [" "]
    wide = sketch(some_events("paf-aedat", 9), (260, 346))
    assert (len(wide), len(wide[0])) == (24, 64)


def test_a_picture_shows_number_and_polarity():
    events = as_events([0, 1, 2, 3], [0, 2, 2, 1], [0, 0, 0, 1], [0, 1, 1, 1])
    drawn = picture(events, (2, 3))
    assert drawn.shape == (2, 3, 3)
    assert drawn[0, 1].tolist() == [255, 255, 255]
    assert np.abs(drawn[0, 2].astype(int) - BRIGHTER).max() <= 2
    between = 255 * (1 - 0.5**0.5) + np.array(DARKER) * 0.5**0.5
    assert np.abs(drawn[0, 0] - between).max() <= 2
    assert (picture(events[:0], (2, 2)) == 255).all()
