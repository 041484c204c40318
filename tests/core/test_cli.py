"""The command line: what it prints, and how it says no."""

import json
import os
import signal
import sys
import time
import tomllib
import warnings
from functools import partial

import pytest
import torch
from places import GOLDEN, ROOT
from small import SMALL
from tiny import tiny

import mstlib
from mstlib import Masking, checkpoints, cli, data
from mstlib.cli import GO_ON, main
from mstlib.commands.evaluate import parse_masking
from mstlib.scale import evaluate as simulation
from mstlib.train import teach


@pytest.fixture
def small(tmp_path, monkeypatch):
    """One shipped model, "small", for the digits; nothing is written beside it."""
    model = tiny(image_size=32, patch_size=8, in_channels=1)
    about = {"recipe": {"data": "digits"}, "seed": 7}
    checkpoints.save_shipped("small", model, about, tmp_path / "weights")
    for function in (checkpoints.manifest, checkpoints.load_shipped):
        defaults = tuple(
            tmp_path / "weights" if d == checkpoints.WEIGHTS else d for d in function.__defaults__
        )
        monkeypatch.setattr(function, "__defaults__", defaults)
    monkeypatch.chdir(tmp_path)
    return model


def mst(line):
    """The exit status of a command line."""
    return main(line.split())


def test_list_names_the_models(small, capsys):
    assert mst("list") == 0
    assert capsys.readouterr().out == "small  data: digits, seed 7\n"


def test_evaluate_prints_one_json_object(small, capsys):
    words = (
        "evaluate small --data digits --steps 8 --mask attention=0.5 --seed 2 --images 12 --json"
    )
    assert mst(words) == 0
    report = json.loads(capsys.readouterr().out)
    images, labels = data.load("digits", "test", 12)
    run = mstlib.simulate(mstlib.convert(small), images, 8, Masking(attention=0.5), seed=2)
    assert (report["model"], report["data"], report["images"]) == ("small", "digits", 12)
    assert (report["steps"], report["mask"], report["seed"]) == (8, {"attention": 0.5}, 2)
    assert report["accuracy_by_step"] == pytest.approx(run.accuracy(labels).tolist(), abs=1e-6)
    assert len(report["accuracy_by_step"]) == 8
    assert set(report["spikes_by_module"]) == {"embedding", "attention", "mlp"}
    assert sum(report["spikes_by_module"].values()) == sum(run.spike_counts.values())
    assert report["power_alpha_watts"] == pytest.approx(run.power())


def test_evaluate_prints_a_table_for_people(small, capsys):
    assert mst("evaluate small --data digits --steps 6 --images 5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("small on 5 images of digits")
    assert [line.split()[2] for line in lines[1:5]] == ["1", "2", "4", "6"]
    assert [line.split()[0] for line in lines[5:]] == ["embedding", "attention", "mlp", "power"]


def test_evaluate_takes_a_file_in_the_authors_layout(capsys):
    path = GOLDEN / "reference_mlp_bn.weights.safetensors"
    assert mst(f"evaluate {path} --data scenes --steps 2 --images 3 --json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 3
    assert report["mask"] == {}


def test_evaluate_resizes_images(capsys):
    path = GOLDEN / "reference_mlp_bn.weights.safetensors"
    words = f"evaluate {path} --data scenes --steps 4 --images 2 --json"
    assert mst(words) == mst(f"{words} --size 64") == 0
    small, large = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    spikes = [sum(report["spikes_by_module"].values()) for report in (small, large)]
    assert 2 < spikes[1] / spikes[0] < 8  # four times the tokens
    assert mst(f"{words} --size 0") == 2
    assert "pixels >= 1, not 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate large --data digits", "no model 'large': neither a shipped one (small)"),
        ("evaluate small --data letters", "unknown data set 'letters'"),
        ("evaluate small --data scenes --images 2", r"images must be (B, 1, 32, 32)"),
        ("evaluate small --data digits --images 2 --steps 0", "steps must be a whole number >= 1"),
        ("evaluate small --data digits --images 0", "at least 1; got 0"),
        ("evaluate small --data digits --mask attention=1.0", "must be in [0, 1), not 1.0"),
        ("evaluate small --data digits --mask attention=-0.1", "must be in [0, 1), not -0.1"),
        ("evaluate small --data digits --mask mlp=nan", "must be in [0, 1), not nan"),
        ("evaluate small --data digits --mask mlp=half", "'half' is not a number"),
        ("evaluate small --data digits --mask head=0.5", "KIND one of"),
        ("evaluate small --data digits --mask attention", "'' is not a number"),
        ("evaluate small --data digits --images 2 --mask conv=0.5", "no 'conv' masks"),
        ("evaluate nowhere.pth --data digits --images 2", "no such file: nowhere.pth"),
        ("train", "name models to train, or --all; there are: mst-digits"),
        ("train mst-letters", "no recipe 'mst-letters'; there are: mst-digits"),
    ],
)
def test_bad_input_ends_with_status_two_and_a_reason(small, capsys, words, message):
    assert mst(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mst: ")
    assert message in err


def test_an_unknown_command_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as end:
        mst("simulate")
    assert end.value.code == 2
    assert "evaluate" in capsys.readouterr().err


def test_train_writes_a_model_that_loads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(teach.RECIPES, "mst-digits", SMALL)
    assert mst(f"train mst-digits --seed 1 --folder {tmp_path / 'out'}") == 0
    assert "mst-digits: " in capsys.readouterr().out
    model = checkpoints.load_shipped("mst-digits", tmp_path / "out")
    again = teach.train(SMALL, 1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    assert checkpoints.manifest(tmp_path / "out")["mst-digits"]["seed"] == 1


def test_masks_may_be_repeated():
    assert parse_masking(["attention=0.5", "mlp=0.25"]) == Masking(attention=0.5, mlp=0.25)
    assert parse_masking([]) == Masking()


def test_the_console_script_is_this_main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"mst": "mstlib.cli:main"}
    assert callable(main)


class Process:
    """The command line as a process of its own, forked from this one."""

    def __init__(self, words, folder, slowly):
        self.told, self.pid = folder / "told.txt", os.fork()
        if self.pid:
            return
        try:
            os.dup2(os.open(self.told, os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            # A shell that starts the tests in the background has them ignore Ctrl-C.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = ["mst", *words.split()]
            start = torch.multiprocessing.start_processes
            torch.multiprocessing.spawn = partial(start, start_method="fork")
            simulation.simulate = slowly
            os._exit(main())
        finally:
            os._exit(99)

    def end(self, number):
        os.kill(self.pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_command_that_is_stopped_says_so_and_goes_on(
    small, tmp_path, capsys, number, status, processes
):
    words = f"evaluate small --data digits --images 40 --steps 2 --out {tmp_path / 'out'} --json"
    simulate, began, beside = simulation.simulate, tmp_path / "began", tmp_path / "beside"

    def slowly(*args, **kwargs):
        if kwargs["first"] == 16:
            beside.touch()
        if kwargs["first"] == 32:
            while not beside.exists():  # Python drops what is raised in the middle of a fork
                time.sleep(0.01)
            began.write_text(str(os.getpid()))
            time.sleep(60)
        return simulate(*args, **kwargs)

    stopped = Process(f"{words} --processes {processes}", tmp_path, slowly)
    moment = time.monotonic()
    while not (began.exists() and began.read_text()):
        assert time.monotonic() - moment < 60, stopped.told.read_text()
        time.sleep(0.01)
    moment = time.monotonic()
    assert stopped.end(number) == status
    assert time.monotonic() - moment < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)
    goes_on = f"mst: stopped; the same command goes on with what is in {tmp_path / 'out'}\n"
    assert stopped.told.read_text() == goes_on
    assert mst(words) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 40


def test_a_command_that_cannot_go_on_says_only_that_it_stopped(small, monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "simulate", stop)
    assert mst("evaluate small --data digits --images 2 --steps 2") == 130
    assert capsys.readouterr().err == "mst: stopped\n"
    assert signal.getsignal(signal.SIGTERM) is not cli._end  # a notebook keeps its own


def test_a_warning_is_one_line_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["mst", "list"])
    assert main() == 0
    line = warnings.formatwarning("these are stand-ins", UserWarning, "file.py", 7)
    assert line == "mst: these are stand-ins\n"


def test_the_commands_that_go_on_are_commands(capsys):
    for command in GO_ON:
        with pytest.raises(SystemExit):
            mst(f"{command} --help")
        assert "--out" in capsys.readouterr().out
