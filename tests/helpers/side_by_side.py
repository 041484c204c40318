"""One training in one process and in two, forked from this one, which meet over gloo."""

import os
import socket
from dataclasses import replace

import torch
from accelerate.state import AcceleratorState
from interrupted import RECIPE, child

from mstlib.data import standins

# Everything that is drawn from a process's own generator is off; the augmentation is on.
QUIET = ["stochastic_depth=0", "augment.mixup=0", "augment.cutmix=0", "qcfs.spread=0"]
# One process looks for silent neurons in other images than two.
QUIET += ["qcfs.wake=0"]
# A step that is the gradient, or in proportion to it: Adam's first ones are its sign alone.
QUIET += ["optimiser.name=sgd", "schedule.warmup=0", "optimiser.weight_decay=0"]


def job(folder, kind, changes=()):
    """Train, and store weights and metrics."""
    from mstlib.masking import Masking
    from mstlib.scale.fit import distil, train
    from mstlib.scale.recipe import read
    from mstlib.scale.setting import Setting

    torch.set_default_dtype(torch.float64 if kind == "double" else torch.float32)
    setting = Setting(folder / "teacher", folder.parent)
    recipe = read(RECIPE, [*QUIET, *changes])
    model = train(recipe, setting)
    if kind == "double":
        student = Setting(folder / "student", folder.parent)
        model = distil(recipe, model, Masking(attention=0.5), student)
    if os.environ.get("RANK", "0") == "0":
        torch.save(model.state_dict(), folder / "weights.pt")


def broken(folder):
    """Train where a sample that only one of the two takes cannot be read."""
    from mstlib.scale import batches

    opened = batches._photographs

    def tear(recipe, split, root, side, augment):
        source = opened(recipe, split, root, side, augment)

        def make(index):
            if index == 7 and augment and os.environ["RANK"] == "1":
                raise OSError("the disk is torn")
            return source.make(index)

        return replace(source, make=make)

    batches._photographs = tear
    job(folder, "single", ["relu.epochs=50"])


def in_two(folder, work, *arguments):
    """Run a job in two processes; return how they ended."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def process(rank):
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        os.environ.update(meeting, RANK=str(rank), LOCAL_RANK=str(rank))
        # If this process has trained before, Accelerate knows itself to be alone.
        AcceleratorState._reset_state(reset_partial_state=True)
        work(folder, *arguments)

    pids = [child(process, rank) for rank in (0, 1)]
    return [os.waitpid(pid, 0)[1] for pid in pids]


def compare(one, two):
    """Return the largest differences between two folders, as a share of what they differ in."""
    from mstlib.scale.metrics import read_metrics

    ours, theirs = (torch.load(f / "weights.pt") for f in (one, two))
    rows = [read_metrics(f / "teacher") for f in (one, two)]
    learned = [n for n in ours if "running" not in n and "tracked" not in n]
    gaps = {n: float((ours[n] - theirs[n]).abs().max()) for n in ours}
    size = {n: float(ours[n].abs().max()) for n in ours}
    found = {
        "statistics": max(gaps[n] / size[n] for n in ours if "running" in n),
        "weights": max(gaps[n] / size[n] for n in learned),
        # After one update of size 1 weights differ by what the gradients differ by. (Thresholds
        # were measured afterwards, on a network that such an update has thrown far off.)
        "gradients": max(gaps[n] for n in learned if "threshold" not in n) / rows[0][0]["gradient"],
    }
    for what in ("loss", "gradient", "accuracy"):
        pairs = [(a[what], b[what]) for a, b in zip(*rows, strict=True) if what in a]
        found[what] = max(abs(a - b) / max(abs(a), 1e-9) for a, b in pairs)
    return found


def side_by_side(root):
    """Train either way; return the largest differences, and how the two end if one is broken."""
    standins.write("cifar10", root, train=64, test=32)
    report = {}
    # One update of size 1 is the gradient itself.
    gradient = ["updates=1", "qcfs.epochs=0", "optimiser.rate=1", "optimiser.clip=1e9"]
    gradient += ["keep.watched=1"]  # one of the two has no image to watch
    whole = ["batch.accumulation=1", "optimiser.rate=0.1"]
    kinds = {"one update": ("single", gradient), "training": ("double", whole)}
    for name, (kind, changes) in kinds.items():
        one, two = root / f"{kind}-one", root / f"{kind}-two"
        one.mkdir()
        assert os.waitpid(child(job, one, kind, changes), 0)[1] == 0
        assert in_two(two, job, kind, changes) == [0, 0]
        report[name] = compare(one, two)
    return report | {"broken": in_two(root / "broken", broken)}
