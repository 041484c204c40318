"""Train, and be killed: each attempt is a forked child, which costs no more than its training."""

import os
import random
import shutil
import signal
import time
import traceback
from pathlib import Path

import torch

from mstlib.data import standins

RECIPE = Path(__file__).with_name("small.toml")


def job(folder, workers=0):
    """Train a network and a masked student, each in a folder of its own."""
    from mstlib.masking import Masking
    from mstlib.scale.fit import distil, train
    from mstlib.scale.recipe import read
    from mstlib.scale.setting import Setting

    recipe = read(RECIPE, [f"batch.workers={workers}"])
    root = folder.parent
    teacher = train(recipe, Setting(folder / "teacher", root))
    student = distil(recipe, teacher, Masking(attention=0.5), Setting(folder / "student", root))
    weights = {
        f"{who}.{name}": value
        for who, model in (("teacher", teacher), ("student", student))
        for name, value in model.state_dict().items()
    }
    torch.save(weights, folder / "weights.pt")


def child(work, *arguments):
    """Run a function in a forked child; its status is 0, or 1 with the reason on standard error."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(pid):
    """Whether a child has ended; with its status."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return bool(done), status


def interrupt(pid, folder, chance, duration):
    """Kill a child at a random moment, or while it writes a state; say whether it was in time."""
    moment = time.monotonic() + chance.uniform(0, duration)
    writing = chance.random() < 0.5
    while True:
        done, status = ended(pid)
        if done:
            assert status == 0, "an attempt failed"
            return None
        partial = next(folder.glob("*/state.pt.partial"), None)
        if time.monotonic() > moment and (partial or not writing):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "writing" if next(folder.glob("*/state.pt.partial"), None) else "elsewhere"
        time.sleep(0.0003)


def rows(folder):
    from mstlib.scale.metrics import read_metrics

    kept = [read_metrics(folder / who) for who in ("teacher", "student")]
    return [{k: v for k, v in row.items() if k != "seconds"} for part in kept for row in part]


def interrupted(root, kills, seed):
    """Train until killed so many times, at random moments; return what was seen."""
    standins.write("cifar10", root, train=64, test=32)
    chance = random.Random(seed)
    whole = root / "whole"
    whole.mkdir()
    job(whole)  # here, so that all is imported and compiled
    began = time.monotonic()
    again = root / "again"
    again.mkdir()
    assert os.waitpid(child(job, again), 0)[1] == 0
    duration = time.monotonic() - began
    wanted, wanted_rows = torch.load(whole / "weights.pt"), rows(whole)
    seen = {"writing": 0, "elsewhere": 0}
    report = {"duration": duration, "updates": len(wanted_rows), "unreadable": 0}
    report |= {"trainings": 0, "moments": [], "equal": True, "same_rows": True}
    while sum(seen.values()) < kills or report["trainings"] < 1:
        folder = root / f"torn{report['trainings']}"
        folder.mkdir()
        while True:
            enough = sum(seen.values()) >= kills
            pid = child(job, folder, int(chance.random() < 0.3))  # workers outlive who is killed
            if enough:
                assert os.waitpid(pid, 0)[1] == 0
                break
            where = interrupt(pid, folder, chance, 0.5 * duration)
            if where is None:
                break
            seen[where] += 1
            moment = None
            for state in folder.glob("*/state.pt"):
                try:
                    held = torch.load(state, weights_only=True)
                    moment = [held["phase"], held["update"]]
                except Exception:
                    report["unreadable"] += 1
            report["moments"].append(moment)
        got = torch.load(folder / "weights.pt")
        same = got.keys() == wanted.keys() and all(torch.equal(got[k], wanted[k]) for k in wanted)
        report["equal"] &= same
        report["same_rows"] &= rows(folder) == wanted_rows
        report["trainings"] += 1
        shutil.rmtree(folder)
    return report | {"kills": seen}
