"""Trainings at full scale, on a stand-in: killed, shared by two processes, refused, reported."""

import copy
import gc
import json
import math
import multiprocessing
import os
import signal
import sys
import time
import warnings

import pytest
import torch
from failing import hooks_left
from interrupted import child, interrupted
from places import HELPERS
from side_by_side import side_by_side
from tiny import tiny
from torch import nn

from mstlib import data
from mstlib.checkpoints.hub import load_model
from mstlib.data import standins
from mstlib.masking import Masking, set_masking
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.qcfs import QCFS
from mstlib.scale import fit, loop, optimise
from mstlib.scale.batches import Plan, examples, load, number, open_source
from mstlib.scale.fit import distil, train
from mstlib.scale.loop import TrainingError
from mstlib.scale.metrics import Metrics, read_metrics
from mstlib.scale.recipe import RecipeError, names, read
from mstlib.scale.setting import Setting
from mstlib.scale.state import StateError
from mstlib.train import Wake, positive_thresholds

pytestmark = pytest.mark.filterwarnings("ignore::mstlib.data.standins.StandInWarning")
RECIPE = HELPERS / "small.toml"
KILLS = 8
# Any recipe on a network and in batches that take no time.
THIN = ["batch.images=4", "batch.workers=0", "qcfs.images=4", "keep.watched=4", "events.side=32"]
THIN += ["model.image_size=32", "model.width=12", "model.depths=[1, 1]", "model.heads=[3, 3]"]
THIN += ["model.window=4"]
# Nothing is drawn but the augmentation, and the first step is the gradient itself.
BARE = ["stochastic_depth=0", "augment.mixup=0", "augment.cutmix=0", "qcfs.spread=0"]
BARE += ["optimiser.name=momentum", "optimiser.rate=1", "optimiser.weight_decay=0"]
BARE += ["schedule.warmup=0", "updates=1"]


@pytest.fixture(autouse=True)
def quick():
    """What is there already need not be looked through at the end of every phase."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    standins.write("cifar10", folder, train=64, test=32)
    return folder


@pytest.fixture(scope="module")
def teacher(root, tmp_path_factory):
    """A trained network, and the folder of its metrics."""
    folder = tmp_path_factory.mktemp("teacher")
    changes = ["schedule.warmup=0.25", "schedule.first=0.1", "schedule.last=0.2", "qcfs.rate=0.5"]
    return train(read(RECIPE, [*changes, "optimiser.rate=1e-3"]), Setting(folder, root)), folder


def test_a_training_survives_being_killed(tmp_path):
    """Train and distil, killed at random moments; half of the kills wait for a state's writing."""
    seen = interrupted(tmp_path, KILLS, 0)
    assert seen["kills"]["writing"] + seen["kills"]["elsewhere"] >= KILLS
    assert seen["kills"]["writing"] >= 2
    assert len({tuple(moment or ()) for moment in seen["moments"]}) >= 3
    assert seen["unreadable"] == 0
    assert seen["equal"], "the weights are not those of the undisturbed training, bit for bit"
    assert seen["same_rows"], "the metrics have rows twice, or lack some"


def test_two_processes_do_what_one_does(tmp_path, capfd):
    seen, said = side_by_side(tmp_path), capfd.readouterr().err
    for what, gap in seen["one update"].items():  # in single precision
        assert gap < 1e-5, what
    for what, gap in seen["training"].items():  # in double: masks, QCFS and all
        assert gap < 1e-9, what
    assert all(seen["broken"]), "a process that cannot read a sample must end all"
    assert "sample 7 of cifar10 (train), image 7 of the set's files, cannot be read" in said
    assert "the disk is torn" in said
    assert "another process of this training has ended" in said


def test_a_finished_training_has_nothing_left_to_do(root, tmp_path):
    recipe = read(RECIPE, ["updates=2"])
    first = train(recipe, Setting(tmp_path, root))
    rows = read_metrics(tmp_path)
    again = train(recipe, Setting(tmp_path, root))
    assert read_metrics(tmp_path) == rows
    assert [(r["phase"], r["update"]) for r in rows] == [
        ("relu", 1),
        ("relu", 2),
        ("qcfs", 1),
        ("qcfs", 2),
    ]
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert first.config.levels == 16
    assert not first.training
    assert all(m.spread == 0 and m.threshold > 0 for m in first.modules() if isinstance(m, QCFS))
    assert type(first.patch_embed.norm).__name__ == "TokenNorm"
    other = train(recipe, Setting(tmp_path / "other seed", root, seed=1))
    assert not torch.equal(other.head.weight, first.head.weight)

    for change in ("seed", "recipe", "data"):
        other, setting = recipe, Setting(tmp_path, root)
        if change == "seed":
            setting = Setting(tmp_path, root, seed=1)
            complaint = r"another training \(seed: 0 there, 1 now\)"
        elif change == "recipe":
            other = read(RECIPE, ["updates=2", "optimiser.rate=1e-3"])
            complaint = r"another training \(optimiser\.rate: 0\.0001 there, 0\.001 now\)"
        else:
            setting = Setting(tmp_path, tmp_path / "other")
            standins.write("cifar10", tmp_path / "other", train=48, test=32, seed=3)
            complaint = r"data\.images: 64 there, 48 now; data\.labels:"
        with pytest.raises(StateError, match=complaint):
            train(other, setting)
    assert read_metrics(tmp_path) == rows


def test_a_finished_training_without_qcfs_epochs_keeps_its_network(root, tmp_path):
    recipe = read(RECIPE, ["updates=2", "qcfs.epochs=0"])
    first, again = (train(recipe, Setting(tmp_path, root)).state_dict() for _ in range(2))
    assert len(read_metrics(tmp_path)) == 2
    assert all(torch.equal(again[name], value) for name, value in first.items())


def _first_parts(recipe, root, first_epoch=0):
    """The images and labels of the parts of a phase's first update."""
    source = open_source(recipe, "train", root, augment=True)
    plan = Plan(len(source), recipe.batch.images, recipe.batch.accumulation, 0)
    return [(images, labels) for images, labels, _ in load(source, plan, range(1), first_epoch)]


@pytest.mark.parametrize("clip", [1e9, 0.05])
def test_an_update_is_the_gradient_of_its_loss(clip, root, tmp_path, monkeypatch):
    """It is the mean over the parts, of the loss with its penalty, and no longer than the clip."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")  # the recipe has the word
    changes = ["qcfs.wake=300", "qcfs.epochs=0", f"optimiser.clip={clip}"]
    recipe = read(RECIPE, [*BARE, *changes])
    torch.manual_seed(number("weights", 0))
    model = fit._build(recipe).train()
    loss, woken = 0.0, 0.0
    parts = _first_parts(recipe, root)
    with Wake(model) as penalty:
        for images, labels in parts:
            smooth = recipe.augment.smoothing
            right = nn.functional.cross_entropy(model(images), labels, label_smoothing=smooth)
            wake = 300 * penalty.collect()
            ((right + wake) / len(parts)).backward()
            loss += (right + wake).item() / len(parts)
            woken += wake.item()
    gradient = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norm = float(torch.stack([g.norm() for g in gradient.values()]).norm())
    assert len(parts) == 2
    assert woken > 0.1
    assert norm > 0.5

    trained = dict(train(recipe, Setting(tmp_path, root)).named_parameters())
    (row,) = read_metrics(tmp_path)
    assert row["loss"] == pytest.approx(loss, rel=1e-5)
    assert row["gradient"] == pytest.approx(norm, rel=1e-5)
    shorter = min(1, clip / norm)
    for name, before in model.named_parameters():
        if name in gradient and not name.endswith("threshold"):
            step, wanted = (before - trained[name]).detach(), shorter * gradient[name]
            assert float((step - wanted).norm()) <= 1e-4 * shorter * norm, name


def test_rates_rise_and_fall_as_the_recipe_says(teacher):
    for phase, highest in (("relu", 1e-3), ("qcfs", 0.5e-3)):
        first, last = 0.1 * highest, 0.2 * highest
        falling = [(1 + math.cos(math.pi * update / 8)) / 2 for update in range(2, 8)]
        wanted = [first, (first + highest) / 2] + [last + (highest - last) * f for f in falling]
        rates = [row["rate"] for row in read_metrics(teacher[1]) if row["phase"] == phase]
        assert rates == pytest.approx(wanted)


def test_a_students_loss_is_of_labels_and_teacher(teacher, root, tmp_path):
    """And its images are augmented as in no epoch of the teacher."""
    model, folder = teacher
    changes = ["distil.share=0.3", "distil.temperature=3", "qcfs.wake=0"]
    recipe = read(RECIPE, [*BARE, *changes])
    student, right, alike = copy.deepcopy(model), 0.0, 0.0
    with positive_thresholds(student, recipe.qcfs.score_cap), torch.no_grad():
        student.train()
        for images, labels in _first_parts(recipe, root, first_epoch=4):
            answer, wanted = student(images), model(images)
            smooth = recipe.augment.smoothing
            ours = nn.functional.cross_entropy(answer, labels, label_smoothing=smooth)
            p, q = (wanted / 3).softmax(-1), (answer / 3).softmax(-1)
            right += float(ours) / 2
            alike += 9 * float((p * (p / q).log()).sum(-1).mean()) / 2
    assert abs(right - alike) > 0.1
    distil(recipe, model, Masking(), Setting(tmp_path, root))
    (row,) = read_metrics(tmp_path)
    assert row["loss"] == pytest.approx(0.7 * right + 0.3 * alike, rel=1e-4)
    assert row["epoch"] == 4
    assert {r["epoch"] for r in read_metrics(folder)} == {0, 1, 2, 3}


@pytest.mark.parametrize("what", ["train", "distil"])
def test_a_training_that_fails_leaves_no_hook(what, root, tmp_path, monkeypatch):
    recipe = read(RECIPE, ["qcfs.wake=1", "distil.content=1"])
    setting = Setting(tmp_path, root)
    jobs = {
        "train": lambda: train(recipe, setting),
        "distil": lambda: distil(recipe, tiny(image_size=32, window=4), Masking(), setting),
    }
    assert not hooks_left(jobs[what], monkeypatch)


def test_a_student_rounds_at_random(teacher, root, tmp_path, monkeypatch):
    seen, whole = set(), QCFS.forward

    def watch(node, x):
        if node.training:
            seen.add(node.spread)
        return whole(node, x)

    monkeypatch.setattr(QCFS, "forward", watch)
    recipe = read(RECIPE, ["updates=1", "qcfs.spread=0.5"])
    distil(recipe, teacher[0], Masking(attention=0.5), Setting(tmp_path, root))
    assert seen == {0.5}


def test_processes_draw_other_numbers(root, tmp_path, monkeypatch, capsys):
    from accelerate import Accelerator

    drawn = []
    monkeypatch.setattr(loop, "seed_all", lambda *parts: drawn.append(number(*parts)))
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    for rank in (0, 1):  # one after the other, each without the other
        monkeypatch.setattr(Accelerator, "process_index", rank)
        recipe = read(RECIPE, ["updates=2", "qcfs.epochs=0"])
        train(recipe, Setting(tmp_path / str(rank), root, progress=True))
    assert "processes: 2, the first on " in capsys.readouterr().out
    assert len(drawn) == 8  # two updates of two parts, twice
    assert len(set(drawn)) == 8


def test_only_matrices_decay():
    model = tiny()
    with positive_thresholds(model, 4.0):
        optimiser = optimise.optimiser(model, read(RECIPE, ["optimiser.weight_decay=0.3"]), 1.0)
        decay = {p: g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
        matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        assert decay.keys() == set(model.parameters())
        for weight, value in decay.items():
            assert value == (0.3 if any(weight is each for each in matrices) else 0)


def test_first_weights_come_with_statistics_of_the_images(root, tmp_path):
    changes = ["relu.epochs=0", "qcfs.epochs=0"]
    recipe = read(RECIPE, changes)
    first = fit._build(recipe)
    torch.save(first.state_dict(), tmp_path / "first.pth")
    changes.append(f"start={tmp_path / 'first.pth'}")
    model = train(read(RECIPE, changes), Setting(tmp_path / "out", root))
    assert torch.equal(model.head.weight, first.head.weight)
    images, _ = examples(open_source(recipe, "train", root), recipe.qcfs.images)
    with torch.no_grad():
        rows = first.patch_embed.proj(images).flatten(2).transpose(1, 2).flatten(0, 1)
    norm = model.patch_embed.norm
    torch.testing.assert_close(norm.running_mean, rows.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, rows.var(0), rtol=1e-4, atol=1e-5)


def test_a_folder_is_for_one_training_at_a_time(root, tmp_path, monkeypatch):
    recipe, ended, whole = read(RECIPE, ["updates=1"]), [], fit._cross_entropy

    def second():
        fit._cross_entropy = whole
        with pytest.raises(StateError, match="another process is training in"):
            train(recipe, Setting(tmp_path, root))

    def loss(*given):
        if not ended:
            ended.append(os.waitpid(child(second), 0)[1])
        return whole(*given)

    monkeypatch.setattr(fit, "_cross_entropy", loss)
    train(recipe, Setting(tmp_path, root))
    assert ended == [0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_is_killed_ends_the_training_wherever_it_is(
    root, tmp_path, monkeypatch, capsys
):
    from mstlib.cli import main

    def loss(*_):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        time.sleep(10)  # PyTorch hears of it here, far from the loader

    monkeypatch.setattr(fit, "_cross_entropy", loss)
    words = f"train --recipe {RECIPE} --root {root} --out {tmp_path} --set batch.workers=1"
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert "a process that loads images died (DataLoader worker" in said
    assert "Traceback" not in said


def test_half_precision_keeps_out_of_the_floor(root, tmp_path, monkeypatch):
    seen = []
    whole = QCFS.forward

    def watch(node, x):
        out = whole(node, x)
        if node.levels is not None and node.training:
            seen.append((x.dtype, out.dtype))
            steps = (out * node.levels / node.threshold).detach()
            assert torch.allclose(steps, steps.round(), atol=1e-4)
        return out

    monkeypatch.setattr(QCFS, "forward", watch)
    model = train(read(RECIPE, ["updates=1"]), Setting(tmp_path, root, precision="bf16"))
    assert torch.bfloat16 in {inside for inside, _ in seen}
    assert {outside for _, outside in seen} == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


BLOWN_UP = ["optimiser.rate=1e30", "optimiser.clip=1e30", "optimiser.name=momentum"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ([], r"the loss is (nan|inf) at update \d+ of the phase relu"),
        (["updates=1"], "an activation is infinite or NaN at update 1 of the phase relu"),
        (
            ["updates=1", "optimiser.rate=1e38", "qcfs.wake=1e6"],
            "a weight is infinite or NaN at update 1 of the phase relu",
        ),
        (["relu.epochs=0"], "a threshold θ is 0, infinite or NaN at update 1 of the phase qcfs"),
    ],
)
def test_numbers_that_blow_up_end_the_training(changes, complaint, root, tmp_path, capsys):
    setting = Setting(tmp_path, root, progress=True)
    with pytest.raises(TrainingError, match=complaint) as trouble:
        train(read(RECIPE, [*BLOWN_UP, "schedule.warmup=0", *changes]), setting)
    assert trouble.tb  # its frames hold the bar: nobody else has closed it
    assert capsys.readouterr().err.endswith("\n")  # what is said next has a line of its own


def test_what_cannot_work_is_told_before_the_first_update(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/out cannot be written to .*nothing was trained"):
        train(read(RECIPE), Setting(tmp_path / "file" / "out", root))
    for change, complaint in (
        ("batch.images=128", "batch.images is 128 and there are only 64 images"),
        ("batch.images=15", "multiple of 1 processes times 2 parts"),
        ("batch.images=6", "mixup pairs the images of a part, and 3 cannot be paired"),
        ("optimiser.name=adamv", "optimiser.name 'adamv' is none of timm's"),
        ("optimiser.name=adahessian", "optimiser.name 'adahessian' needs second derivatives"),
        ("schedule.name=sine", "schedule.name 'sine' is none of timm's"),
        ("schedule.name=none", "schedule.name 'none' gives no rate for each update"),
        ("schedule.name=plateau", "schedule.name 'plateau' gives no rate for each update"),
        ("augment.policy=nonsense", "augment.policy 'nonsense' is none of timm's: Unknown AA pol"),
        ("augment.policy=rand-x9", "augment.policy 'rand-x9' is none of timm's"),
        ("model.in_channels=1", "the network takes images"),
    ):
        with pytest.raises(RecipeError, match=complaint):
            train(read(RECIPE, [change]), Setting(tmp_path / change, root))
    if not torch.accelerator.is_available():
        with pytest.raises(ValueError, match='"fp16" needs a GPU'):
            train(read(RECIPE), Setting(tmp_path / "half", root, precision="fp16"))
    with pytest.raises(ValueError, match="precision must be one of"):
        Setting(tmp_path, precision="fp8")
    with pytest.raises(ValueError, match="seed must be a whole number >= 0"):
        Setting(tmp_path, seed=-1)


def test_a_teacher_that_does_not_fit_is_refused(root, tmp_path):
    recipe, setting = read(RECIPE), Setting(tmp_path, root)
    with pytest.raises(RecipeError, match="the teacher's image_size is 16 and the recipe's 32"):
        distil(recipe, tiny(), Masking(attention=0.5), setting)
    with pytest.raises(ValueError, match="a teacher is a Masked Spiking Transformer with QCFS"):
        distil(recipe, MaskedSpikingTransformer().patch_embed, Masking(), setting)
    masked = tiny(image_size=32, window=4)
    masked.trained_masking = Masking(attention=0.5)
    with pytest.raises(ValueError, match="a teacher has no masks"):
        distil(recipe, masked, Masking(), setting)


def test_a_student_has_masks_of_its_own_images(root, tmp_path):
    """The masks that are drawn in training are those of the image's row in the whole batch."""
    changes = ["updates=1", "distil.draws=2", "distil.content=0.1"]
    # Other numbers of images are trained on and watched, and neither divides the other.
    recipe = read(RECIPE, [*changes, "batch.images=20", "keep.watched=7"])
    teacher = train(recipe, Setting(tmp_path / "t", root))
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    student = distil(recipe, teacher, Masking(attention=0.5), Setting(tmp_path / "s", root))
    assert student.trained_masking == Masking(attention=0.5)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not torch.equal(student.head.weight, teacher.head.weight)
    assert all(m.ratio == 0 for m in student.modules() if hasattr(m, "ratio"))
    set_masking(student, Masking(attention=0.5))
    assert student(torch.zeros(7, 3, 32, 32)).shape == (7, 10)
    set_masking(student, None)
    with pytest.raises(StateError, match=r"masking: .*teacher"):
        distil(recipe, student_free(student), Masking(), Setting(tmp_path / "s", root))


def student_free(student):
    student.trained_masking = None
    return student


def test_metrics_are_cut_to_what_the_state_knows(tmp_path):
    row = {"phase": "relu", "update": 1, "loss": 2.0}
    with Metrics(tmp_path) as metrics:
        metrics.add(row)
        length = metrics.keep()
        metrics.add(row | {"update": 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "relu", "upd')
    assert [r["update"] for r in read_metrics(tmp_path)] == [1, 2]
    with Metrics(tmp_path, length) as metrics:
        metrics.add(row | {"update": 2, "loss": 1.0})
        assert metrics.keep() > length
    assert [r["loss"] for r in read_metrics(tmp_path)] == [2.0, 1.0]
    with pytest.warns(UserWarning, match="is shorter than it was"), Metrics(tmp_path, 10**6):
        pass
    assert len(read_metrics(tmp_path)) == 2


def test_without_tensorboard_the_reader_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="TensorBoard is not installed: pip install tensorboard"):
        Metrics(tmp_path, tensorboard=True)


@pytest.mark.parametrize("name", names())
def test_every_recipe_trains(name, tmp_path):
    standins.write(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the set is a stand-in, and not complete
        recipe = read(name, [*THIN, "updates=1", "start=none"])
        model = train(recipe, Setting(tmp_path / "out", tmp_path))
    assert [row["phase"] for row in read_metrics(tmp_path / "out")] == ["relu", "qcfs"]
    assert model.config.classes == len(data.classes(name))


def test_the_recipe_of_cifar_runs_from_end_to_end(root, tmp_path, capsys):
    """Train, distil, convert, evaluate and report, by the commands that a reader gives."""
    from mstlib.cli import main

    common = ["--recipe", "cifar10", "--root", str(root), "--updates", "2", "--images", "20"]
    common += [word for change in THIN for word in ("--set", change)]
    out = tmp_path / "teacher"
    words = ["train", *common, "--start", "none", "--out", str(out), "--tensorboard"]
    assert main(words) == 0
    student = tmp_path / "student"
    words = ["distil", *common, "--teacher", str(out / "model"), "--out", str(student)]
    assert main([*words, "--mask", "attention=0.75"]) == 0
    said = capsys.readouterr().out
    assert f"network: {out / 'model'}" in said
    assert f"report: {student / 'report.md'}" in said

    assert load_model(out / "model").trained_masking is None
    assert load_model(student / "model").trained_masking == Masking(attention=0.75)
    assert any((out / "tensorboard").iterdir())
    for folder in (out, student):
        found = json.loads((folder / "report.json").read_text())
        assert found["images"] == 20
        assert set(found["snn"]) == {"4", "8", "16", "32", "64"}
        assert set(found["lesions"]) == {"branch", "scores"}
        assert set(found["silent"]) == {
            "q_if",
            "k_if",
            "v_if",
            "attn_if",
            "attn_v_if",
            "proj_if",
        }
        shares = [*found["rates"].values(), *found["silent"].values(), *found["snn"].values()]
        assert all(0 <= share <= 1 for share in shares)
        page = (folder / "report.md").read_text()
        assert f"| QCFS | {found['qcfs']:.4f} |" in page
        for picture in ("loss", "accuracy", "rate", "threshold"):
            assert f"({picture}.svg)" in page
            assert "<svg" in (folder / f"{picture}.svg").read_text()
    assert "attention=0.75" in json.loads((student / "report.json").read_text())["masking"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("train --recipe cifar10", "--recipe needs --out"),
        ("train mst-digits --recipe cifar10 --out out", "not both"),
        ("train --recipe moons --out out", "no recipe 'moons'"),
        ("train --recipe cifar10 --out out --images 0", "--images must be at least 1"),
        ("train --recipe cifar10 --out out --set rate=3", "unknown entry 'rate'"),
        ("train --recipe cifar10 --out out --root nowhere", "cifar10 is not in"),
        ("distil --recipe cifar10 --out out --teacher nowhere", "nowhere"),
    ],
)
def test_bad_commands_end_with_a_reason(words, complaint, capsys, tmp_path, monkeypatch):
    from mstlib.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert complaint in capsys.readouterr().err
