"""Masked students by the dozen: accuracy, spikes and lesions against the mask ratio (Fig. 5 and 6).

A student takes a minute or more, and a figure needs dozens of them; so the results are stored with
the package, `mst study students` makes them again, and chapter 7 computes some of them anew.
"""

from __future__ import annotations

import copy
import json
import time
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mstlib import data
from mstlib.checkpoints import load_shipped, manifest, save_shipped
from mstlib.convert import convert
from mstlib.masking import Masking, set_masking
from mstlib.models.lesions import lesion
from mstlib.simulate import Run, simulate
from mstlib.studies.records import FOLDER
from mstlib.train import RECIPES, STUDENTS, Distillation, accuracy, distil, train

TEACHERS = ("mst-digits", "mst-scenes")
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9)
STEPS = (8, 16, 32, 64)
RUNS = 10  # the paper's insets: the deviation over ten runs
IMAGES = 150
_WHOLE = "students-whole.json"
KEPT = Path(".training")  # weights of teachers and students that are not shipped


@dataclass(frozen=True)
class Case:
    """One network of a sweep: a student, or its teacher simply masked.

    Attributes:
        masking: Where spikes are masked, in training and in the measurement.
        tuned: Trained with these masks; otherwise the teacher as it is, masked.
        seed: Seed of the teacher and of the student.
        options: Fields of `Distillation` that differ from the sweep's (`draws`, `content`,
            `lesion`, `epochs`).
    """

    masking: Masking
    tuned: bool = True
    seed: int = 0
    options: dict[str, object] = field(default_factory=dict)


def cases(teacher: str) -> list[Case]:
    """Return all networks of one teacher's sweep, those of the figures first.

    Raises:
        ValueError: there is no sweep of that teacher.
    """
    if teacher not in TEACHERS:
        raise ValueError(f"no sweep of {teacher!r}; there are: {', '.join(TEACHERS)}")
    ratios = [Masking(**{kind: p}) for p in RATIOS for kind in ("attention", "mlp")]
    blocks = [Masking(attention=0.75, blocks=range(n)) for n in range(1, 4)]
    without = {"lesion": "scores"}
    figures = [Case(m) for m in (Masking(), *ratios, *blocks)]
    untuned = [Case(m, tuned=False) for m in (Masking(), *ratios, *blocks)]
    if teacher != "mst-scenes":
        return [*figures, Case(Masking(), options=without), *untuned]
    # What keeps a masked network accurate? With twice the epochs, from three seeds, teacher
    # included; and from one seed, ways to keep what the attention says.
    strong, careful = Masking(attention=0.75), Masking(attention=(0.9, 0.9, 0.5, 0.5))
    longer = {"epochs": 8}
    story = [
        Case(masking, seed=seed, options=options)
        for seed in (0, 1, 2)
        for masking, options in (
            (strong, longer),
            (Masking(), longer | without),
            (Masking(), longer),
            (careful, {}),
        )
    ]
    ways = [
        Case(Masking(), options=without),
        Case(strong, options=longer | {"content": 1.0}),
        Case(strong, options={"draws": 4}),
    ]
    story = [*story[:4], *ways, *story[4:]]
    whole = [Case(Masking(), tuned=False, seed=seed) for seed in (1, 2)]
    spared = Case(Masking(attention=(0.9, 0.9, 0, 0)), tuned=False)
    return [*figures, *story, *whole, *untuned, spared]


def recipe(teacher: str, case: Case) -> Distillation:
    """Return how the student of a case is trained."""
    usual = STUDENTS[f"{teacher}-control"]
    return replace(usual, masking=case.masking, **case.options)


def results(teacher: str, folder: Path = FOLDER) -> list[dict[str, object]]:
    """Return the stored rows of a sweep, one for each `Case`.

    A row has the fields of its case (``masking`` as a dictionary), ``minutes`` of training, and
    what `measure` found.
    """
    path = folder / f"students-{teacher}.json"
    return json.loads(path.read_text()) if path.exists() else []


def find(
    rows: list[dict[str, object]],
    masking: Masking,
    tuned: bool = True,
    seed: int = 0,
    **options: object,
) -> dict[str, object]:
    """Return the row of one case.

    Raises:
        LookupError: there is none.
    """
    wanted = _plain(Case(masking, tuned, seed, options))
    for row in rows:
        if wanted.items() <= row.items():
            return row
    raise LookupError(f"no stored result for {wanted}")


def _plain(case: Case) -> dict[str, object]:
    """Return a case as JSON gives it back."""
    return json.loads(json.dumps(asdict(case)))


def measure(
    model: nn.Module,
    name: str,
    masking: Masking,
    images: int = IMAGES,
    runs: int = RUNS,
    lasting: str | None = None,
) -> dict[str, object]:
    """Measure a network under a masking: ten runs of it as ANN and in spikes, lesions, spikes.

    Args:
        model: A QCFS network.
        name: Name of its data set.
        masking: Masks of the measurement.
        images: How many test images.
        runs: Seeds of the masks.
        lasting: A lesion that lasts throughout, in training as here.

    Returns:
        ``qcfs``, accuracy of each run (one mask for each image); ``snn``, ``{T: accuracy of each
        run}``; ``scores`` and ``branch``, accuracy in spikes at the last T after that lesion;
        ``emitted`` and ``delivered``, spikes of an image in a step by kind of layer; ``power`` of
        Eq. 10.
    """
    x, y = data.load(name, "test", images)
    row: dict[str, object] = {}
    with lesion(model, lasting):
        row["qcfs"] = [_masked_accuracy(model, masking, seed, x, y) for seed in range(runs)]
    snn = convert(model)
    snn.trained_masking = None  # measured as the case says, whatever it was trained with
    with lesion(snn, lasting):
        every = [simulate(snn, x, max(STEPS), masking, seed) for seed in range(runs)]
    after = [run.accuracy(y) for run in every]
    row["snn"] = {str(t): [round(float(a[t - 1]), 4) for a in after] for t in STEPS}
    for kind in ("branch", "scores"):
        with lesion(snn, kind):
            row[kind] = round(float(simulate(snn, x, max(STEPS), masking).accuracy(y)[-1]), 4)
    row["emitted"] = by_kind(every[0], every[0].spike_counts)
    row["delivered"] = by_kind(every[0], every[0].spike_counts | _arrived(every[0]))
    row["power"] = every[0].power()
    return row


def _masked_accuracy(model: nn.Module, masking: Masking, seed: int, x: Tensor, y: Tensor) -> float:
    set_masking(model, masking, seed)
    with torch.no_grad():
        right = accuracy(model, x, y)
    set_masking(model, None)
    return round(right, 4)


_KINDS = {
    "q_if": "q",
    "k_if": "k",
    "v_if": "v",
    "attn_if": "a",
    "shortcut2_if": "mlp",
    "fc1_if": "mlp",
}


def by_kind(run: Run, counts: dict[str, int]) -> dict[str, float]:
    """Sum spikes by what they are, for one image and step: q, k, v, a, mlp (masked there) or other.

    Args:
        run: Where they come from.
        counts: ``{layer: spikes}``, emitted or delivered.
    """
    sums = dict.fromkeys(("q", "k", "v", "a", "mlp", "other"), 0)
    for name, spikes in counts.items():
        sums[_KINDS.get(name.split(".")[-1], "other")] += spikes
    return {kind: round(spikes / run.image_steps, 3) for kind, spikes in sums.items()}


_FEEDS = {
    "attn.q_mask": "attn.q_if",
    "attn.k_mask": "attn.k_if",
    "attn.attn_mask": "attn.attn_if",
    "mlp.in_mask": "shortcut2_if",
    "mlp.hidden_mask": "mlp.fc1_if",
}


def _arrived(run: Run) -> dict[str, int]:
    """Return the spikes that passed a mask, by the layer that emitted them."""
    passed = {}
    for mask, spikes in run.delivered.items():
        place = next(place for place in _FEEDS if mask.endswith(place))
        passed[mask.removesuffix(place) + _FEEDS[place]] = spikes
    return passed


def run_sweep(
    teacher: str,
    chosen: Iterable[Case] | None = None,
    folder: Path = FOLDER,
    progress: bool = False,
) -> None:
    """Train and measure every case of a sweep that has no stored result of the same recipe yet.

    Each result is written as soon as it is known, so that a sweep that was stopped goes on; the
    students of `STUDENTS` are shipped as they come.

    Args:
        teacher: One of `TEACHERS`.
        chosen: Cases; all of the teacher's by default.
        folder: Where results and shipped weights are kept.
        progress: Show progress bars.
    """
    path = folder / f"students-{teacher}.json"
    name = RECIPES[teacher].data
    for case in cases(teacher) if chosen is None else chosen:
        how = recipe(teacher, case)
        key = _plain(case) | {"recipe": json.loads(json.dumps(asdict(how)))}
        rows = results(teacher, folder)
        if any(key.items() <= row.items() for row in rows):
            continue
        began = time.monotonic()
        model = _teacher(teacher, case.seed, progress)
        if case.tuned:
            model = _student(model, how, case.seed, progress)
        minutes = round((time.monotonic() - began) / 60, 1)
        shipped = [n for n, other in STUDENTS.items() if other == how and case.seed == 0]
        if case.tuned and shipped:
            about = {"recipe": asdict(how), "seed": case.seed}
            save_shipped(shipped[0], model, about, folder)
        found = measure(model, name, case.masking, lasting=how.lesion)
        if progress:
            print(teacher, case, minutes, found["qcfs"][0], found["snn"]["64"][0], flush=True)
        kept = [r for r in results(teacher, folder) if not _plain(case).items() <= r.items()]
        row = key | {"minutes": minutes} | found
        path.write_text(json.dumps([*kept, row], indent=1) + "\n")


def whole_test(folder: Path = FOLDER) -> list[dict[str, object]]:
    """Return what was stored of the digits' students on *all* test images.

    A row has ``name``, the ``sha256`` of its weights, ``images``, ``steps``, ``accuracy`` in spikes
    under the masks it was trained with, and ``scores``, the same with A = 0.
    """
    path = folder / _WHOLE
    return json.loads(path.read_text()) if path.exists() else []


def run_whole_test(folder: Path = FOLDER) -> None:
    """Simulate the digits' teacher and its students on all test images, where not stored yet.

    Args:
        folder: Where results and shipped weights are kept.
    """
    x, y = data.load("digits", "test")
    for name in ("mst-digits", *(n for n in STUDENTS if n.startswith("mst-digits"))):
        key = {"name": name, "sha256": manifest(folder)[name]["sha256"]}
        rows = whole_test(folder)
        if any(key.items() <= row.items() for row in rows):
            continue
        snn = convert(load_shipped(name, folder))
        steps, masking = max(STEPS), snn.trained_masking
        row = key | {"images": len(y), "steps": steps}
        for what, kind in (("accuracy", None), ("scores", "scores")):
            with lesion(snn, kind):
                run = simulate(snn, x, steps, masking)
            row[what] = round(float(run.accuracy(y)[-1]), 4)
        kept = [old for old in rows if old["name"] != name]
        (folder / _WHOLE).write_text(json.dumps([*kept, row], indent=1) + "\n")


def _teacher(name: str, seed: int, progress: bool) -> nn.Module:
    """Return the shipped teacher, or one of another seed, trained once and kept."""
    model = load_shipped(name)
    if seed == 0:
        return model
    path = KEPT / f"{name}-{seed}.safetensors"
    if not path.exists():
        model = train(RECIPES[name], seed, state=KEPT / f"{name}-{seed}", progress=progress)
        save_file(model.state_dict(), path)
    model.load_state_dict(load_file(path))
    return model


def _student(teacher: nn.Module, how: Distillation, seed: int, progress: bool) -> nn.Module:
    """Return a student, trained once and kept; one that was interrupted goes on."""
    number = zlib.crc32(json.dumps(asdict(how), sort_keys=True).encode())
    path = KEPT / f"{how.teacher}-student-{seed}-{number:08x}.safetensors"
    if not path.exists():
        model = distil(teacher, how, seed, state=path.with_suffix(""), progress=progress)
        save_file(model.state_dict(), path)
    student = copy.deepcopy(teacher)
    student.load_state_dict(load_file(path))
    student.trained_masking = how.masking or None
    return student
