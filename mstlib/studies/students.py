"""Masked students by the dozen: accuracy, spikes and lesions against the mask ratio (Fig. 5 and 6).

Question: is what random masking drops redundant, or does a student give up what the spikes did?
Arms: for digits and scenes, students distilled with masks in attention or MLP at five ratios, in
the first blocks only, and other ways for scenes; the control (the same epochs, no masks), students
whose scores are silent throughout, and the teacher simply masked.
Seeds: ten of the masks; one training, three for the story of the scenes. Images: the first 150 of
the test split; of the digits' shipped students also all 547.
Statistic: accuracy in spikes after 64 steps, mean ± standard deviation over the masks; the same
with A = 0 and with no attention branch; spikes emitted and delivered (chapters 7 to 10).
Refuted: "the attention was redundant", where silencing A costs a student nothing (it has given A
up) or where a student without A is as accurate (the task does not need it).
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from torch import Tensor, nn

from mstlib import data
from mstlib.checkpoints import load_shipped, manifest, save_shipped
from mstlib.convert import SpikingNetwork, convert
from mstlib.masking import Masking, set_masking
from mstlib.models.lesions import lesion
from mstlib.models.sites import layer_before, site_of
from mstlib.simulate import Run, simulate
from mstlib.studies import records
from mstlib.studies.records import FOLDER, Row, Table, kept
from mstlib.train import RECIPES, STUDENTS, Distillation, accuracy, distil, train

TEACHERS = ("mst-digits", "mst-scenes")
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9)
STEPS = (8, 16, 32, 64)
RUNS = 10  # the paper's insets: the deviation over ten runs
IMAGES = 150
TABLES = {teacher: Table(FOLDER / f"students-{teacher}.json") for teacher in TEACHERS}
WHOLE = Table(FOLDER / "students-whole.json", recipe=("sha256",))


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
    told = [(strong, longer), (Masking(), longer | without), (Masking(), longer), (careful, {})]
    story = [Case(m, seed=seed, options=o) for seed in (0, 1, 2) for m, o in told]
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


def results(teacher: str) -> list[Row]:
    """Return the stored rows of a sweep, one for each `Case`.

    A row has the fields of its case (``masking`` as a dictionary), the ``recipe`` of its student,
    ``minutes`` of training, and what `measure` found.
    """
    return TABLES[teacher].read()


def find(
    rows: Iterable[Row], masking: Masking, tuned: bool = True, seed: int = 0, **options: object
) -> Row:
    """Return the row of one case.

    Raises:
        LookupError: there is none.
    """
    return records.find(rows, Case(masking, tuned, seed, options))


def measure(model: nn.Module, name: str, masking: Masking, lasting: str | None = None) -> Row:
    """Measure a network under a masking: ten runs of it as ANN and in spikes, lesions, spikes.

    Args:
        model: A QCFS network.
        name: Name of its data set.
        masking: Masks of the measurement.
        lasting: A lesion that lasts throughout, in training as here.

    Returns:
        ``qcfs``, accuracy of each run (one mask for each image); ``snn``, ``{T: accuracy of each
        run}``; ``scores`` and ``branch``, accuracy in spikes at the last T after that lesion;
        ``emitted`` and ``delivered``, spikes of an image in a step by kind of layer; ``power`` of
        Eq. 10.
    """
    x, y = data.load(name, "test", IMAGES)
    row, snn, every = under_masks(model, masking, range(RUNS), x, y, STEPS, lasting)
    for kind in ("branch", "scores"):
        with lesion(snn, kind):
            cut = simulate(snn, x, max(STEPS), masking, as_trained=False)
        row[kind] = round(float(cut.accuracy(y)[-1]), 4)
    first = every[0]
    passed = {layer_before(mask): spikes for mask, spikes in first.delivered.items()}
    row["emitted"] = by_kind(first, first.spike_counts)
    row["delivered"] = by_kind(first, first.spike_counts | passed)
    row["power"] = first.power()
    return row


def under_masks(
    model: nn.Module,
    masking: Masking,
    seeds: Iterable[int],
    x: Tensor,
    y: Tensor,
    steps: Sequence[int],
    lasting: str | None = None,
) -> tuple[Row, SpikingNetwork, list[Run]]:
    """Measure a network with QCFS activations and in spikes, once for each seed of the masks.

    Args:
        model: A QCFS network.
        masking: Its masks.
        seeds: Of the masks.
        x: Test images ``(B, channels, height, width)``.
        y: ``(B,)`` true classes.
        steps: After which times to take the accuracy in spikes; the last is T.
        lasting: A lesion that lasts throughout.

    Returns:
        ``qcfs`` and ``snn`` as in `measure`, the converted network, and its runs.
    """
    qcfs = []
    with lesion(model, lasting):
        for seed in seeds:
            set_masking(model, masking, seed)
            qcfs.append(round(accuracy(model, x, y), 4))
    set_masking(model, None)
    snn = convert(model)
    once = partial(simulate, snn, x, max(steps), masking, as_trained=False)
    with lesion(snn, lasting):
        every = [once(seed=seed) for seed in seeds]
    after = [run.accuracy(y) for run in every]
    times = {str(t): [round(float(a[t - 1]), 4) for a in after] for t in steps}
    return {"qcfs": qcfs, "snn": times}, snn, every


def by_kind(run: Run, counts: dict[str, int]) -> dict[str, float]:
    """Sum spikes by what they are, for one image and step: q, k, v, a, mlp (masked there) or other.

    Args:
        run: Where they come from.
        counts: ``{layer: spikes}``, emitted or delivered.
    """
    sums = dict.fromkeys(("q", "k", "v", "a", "mlp", "other"), 0)
    for name, spikes in counts.items():
        sums[site_of(name).sends] += spikes
    return {kind: round(spikes / run.image_steps, 3) for kind, spikes in sums.items()}


def whole_test() -> list[Row]:
    """Return what was stored of the digits' students on *all* test images.

    A row has ``name``, the ``sha256`` of its weights, ``images``, ``steps``, ``accuracy`` in spikes
    under the masks it was trained with, and ``scores``, the same with A = 0.
    """
    return WHOLE.read()


def run(progress: bool = False) -> None:
    """Train and measure every case of every sweep, and every shipped student on all test digits.

    What has a stored result of the same recipe or weights is left as it is; the students of
    `STUDENTS` are shipped as they come.
    """
    for teacher in TEACHERS:
        key = partial(_key, teacher)
        TABLES[teacher].fill(cases(teacher), key, partial(_trained, teacher, progress), progress)
    names = ("mst-digits", *(n for n in STUDENTS if n.startswith("mst-digits")))
    hashes = {name: entry["sha256"] for name, entry in manifest().items()}
    WHOLE.fill(names, lambda n: {"name": n, "sha256": hashes[n]}, _on_all_digits, progress)


def _key(teacher: str, case: Case) -> Row:
    return asdict(case) | {"recipe": asdict(recipe(teacher, case))}


def _trained(teacher: str, progress: bool, case: Case) -> Row:
    """Train the network of a case, ship it if it is to be, and measure it."""
    began, how = time.monotonic(), recipe(teacher, case)
    model = load_shipped(teacher)
    if case.seed:
        again = partial(train, RECIPES[teacher], case.seed, progress=progress)
        model = kept(f"{teacher}-{case.seed}", model, again)
    if case.tuned:
        number = zlib.crc32(json.dumps(asdict(how), sort_keys=True).encode())
        again = partial(distil, model, how, case.seed, progress=progress)
        model = kept(f"{teacher}-student-{case.seed}-{number:08x}", model, again)
        model.trained_masking = how.masking or None
    minutes = round((time.monotonic() - began) / 60, 1)
    shipped = next((name for name, other in STUDENTS.items() if other == how), None)
    if shipped and case.tuned and case.seed == 0:
        save_shipped(shipped, model, {"recipe": asdict(how), "seed": case.seed})
    found = measure(model, RECIPES[teacher].data, case.masking, lasting=how.lesion)
    return {"minutes": minutes} | found


def _on_all_digits(name: str) -> Row:
    x, y = data.load("digits", "test")
    snn = convert(load_shipped(name))
    steps, masking = max(STEPS), snn.trained_masking
    row: Row = {"images": len(y), "steps": steps}
    for what, kind in (("accuracy", None), ("scores", "scores")):
        with lesion(snn, kind):
            run = simulate(snn, x, steps, masking)
        row[what] = round(float(run.accuracy(y)[-1]), 4)
    return row
