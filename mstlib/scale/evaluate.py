"""A spiking network on a whole data set: in pieces, on many processes, and after interruptions.

The data set is cut into blocks of a few images. A block is always simulated by itself, and its
masks depend on where it lies in the data set, so it gives the same whole numbers (right answers
after each step, spikes of each layer) whichever process takes it and whenever. Each finished block
is a line in a file; the result is the sum of the lines. A process computes on one thread, since
sums of 32-bit numbers depend on how many there are: to use more of a processor, start more of them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from mstlib import data
from mstlib.convert import convert
from mstlib.data import standins
from mstlib.data.checks import check_count, check_size, shuffled
from mstlib.data.events.framed import Framed
from mstlib.data.folders import FOLDERS
from mstlib.masking import Masking, set_masking
from mstlib.scale.batches import Source, read
from mstlib.simulate import simulate
from mstlib.state_dicts import write_new

BLOCK = 16  # images: as many as the engine simulates at once
_TASK = "evaluation.json"
_PATIENCE = timedelta(days=365)  # one process may have much more left to do than another


class EvaluationError(ValueError):
    """An evaluation cannot be merged, written or gone on with; the message says why."""


@dataclass(frozen=True)
class Task:
    """What a network is to be judged by: all but the network.

    Attributes:
        data: Name of the data set; its test images are used.
        root: Folder of the sets you download; see `mstlib.data.load`.
        images: How many, in the order of `mstlib.data.load`; ``None`` for all.
        steps: T.
        masking: Random spike masking.
        seed: Of the masks.
        size: Height and width of the images; ``None`` for those of the set. See
            `mstlib.data.dataset`, as for the next.
        side: Cells of a frame of events along each side.
    """

    data: str
    root: str | Path | None = None
    images: int | None = None
    steps: int = 64
    masking: Masking = field(default_factory=Masking)
    seed: int = 0
    size: int | None = None
    side: int = 32

    def samples(self, split: str = "test") -> Dataset:
        """Open the images, in their order.

        Args:
            split: "test", which evaluations take, or "train".
        """
        if self.data not in standins.names():
            images, labels = data.load(self.data, split, self.images)
            if self.size is not None:
                sides = (check_size(self.size),) * 2
                images = torch.nn.functional.interpolate(images, sides, mode="bilinear")
            return TensorDataset(images, labels)
        whole = data.dataset(self.data, split, self.root, self.size, self.side)
        count = check_count(len(whole) if self.images is None else self.images, len(whole))
        # Recordings come in this order already.
        order = shuffled(len(whole), 0) if self.data in FOLDERS else range(len(whole))
        return Subset(whole, [int(row) for row in order[:count]])

    def source(self) -> Source:
        """Open the test images, in their order, with their labels and what each is read from."""
        opened = _Opened(self.samples())
        return Source(self.data, "test", opened.labels(), opened.image, opened.place)


class _Opened:
    """What `Task.samples` gives, as a `Source` wants it; processes that read can be sent it."""

    def __init__(self, samples: Dataset) -> None:
        self.samples = samples

    def labels(self) -> Tensor:
        if isinstance(self.samples, TensorDataset):
            return self.samples.tensors[1]
        whole = self.samples.dataset
        known = whole.recordings.labels if isinstance(whole, Framed) else whole.targets
        return torch.tensor([int(known[row]) for row in self.samples.indices])

    def image(self, index: int) -> Tensor:
        return self.samples[index][0]

    def place(self, index: int) -> str:
        if isinstance(self.samples, TensorDataset):
            return "a tensor"
        whole, row = self.samples.dataset, self.samples.indices[index]
        if isinstance(whole, Framed):
            return f"recording {row}"
        paths = getattr(whole, "samples", None)
        return paths[row][0] if paths else f"image {row} of the set's files"


@dataclass(frozen=True)
class Tally:
    """What was counted: whole numbers, so that tallies of parts add up exactly.

    Attributes:
        images: Images simulated.
        right: Right answers after each of the T steps.
        spike_counts: Spikes emitted by each layer, over all images and steps.
        neurons: Neurons of each layer.
        delivered: Spikes that passed each mask with a ratio above 0.
        classes: How many the network tells apart.
    """

    images: int
    right: tuple[int, ...]
    spike_counts: dict[str, int]
    neurons: dict[str, int]
    delivered: dict[str, int]
    classes: int

    def __add__(self, other: Tally) -> Tally:
        """Count both."""
        return Tally(
            self.images + other.images,
            tuple(a + b for a, b in zip(self.right, other.right, strict=True)),
            {k: n + other.spike_counts[k] for k, n in self.spike_counts.items()},
            self.neurons,
            {k: n + other.delivered[k] for k, n in self.delivered.items()},
            self.classes,
        )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.right)

    @property
    def image_steps(self) -> int:
        """Steps, summed over the images."""
        return self.images * self.steps

    @property
    def accuracy(self) -> list[float]:
        """The share of right answers after each step."""
        return [right / self.images for right in self.right]

    @property
    def firing_rates(self) -> dict[str, float]:
        """Spikes per neuron and step in each layer."""
        return {
            name: spikes / (self.neurons[name] * self.image_steps)
            for name, spikes in self.spike_counts.items()
        }


def evaluate(
    model: nn.Module,
    task: Task,
    out: str | Path | None = None,
    processes: int = 1,
    workers: int = 0,
    progress: bool = False,
) -> Tally:
    """Count right answers and spikes over a data set.

    Under ``accelerate launch`` or ``torchrun``, every process of the launch takes its share, waits
    for the others, and gets the tally of all.

    Args:
        model: A trained QCFS network.
        task: What to judge it by.
        out: Folder in which to keep each finished block. If an evaluation of the same network and
            task was interrupted there, it goes on. ``None`` for none, which only a single launch
            can do without.
        processes: How many to start on this machine, each with a share of the blocks. The tally
            does not depend on it.
        workers: Processes that read images ahead, for each of these.
        progress: Show progress.

    Raises:
        EvaluationError: the folder holds the evaluation of something else, or cannot be written to;
            or a process died, and the message says how to go on.
        SampleError: an image cannot be read; the message names it.
        ValueError: whatever `mstlib.data.dataset` or `mstlib.simulate` refuse.
        DataNotFound: the data set is to be downloaded first.
    """
    if processes < 1 or workers < 0:
        raise ValueError(
            f"processes must be at least 1 and workers at least 0, not {processes} and {workers}"
        )
    rank, world = (int(os.environ.get(name, n)) for name, n in (("RANK", 0), ("WORLD_SIZE", 1)))
    if world > 1 and out is None:
        raise EvaluationError("processes of a launch meet in a folder: name one (out)")
    if world > 1 and processes > 1:
        raise EvaluationError("a launch has processes already: ask for no others")
    with _folder(out) as folder:
        _connect(folder, world)  # before the work, so that all are still there
        source = task.source()
        claim = _claim(folder, model, task, source)
        if processes > 1:
            _start(model, task, folder, claim, processes, workers)
        else:
            _share(model, task, source, folder, claim, rank, world, workers, progress)
        _wait(folder, world)
        total = _merge(folder, claim, len(_blocks(source)))
        _wait(folder, world)  # whoever leaves ends the connection that others may still wait on
        return total


def correct(model: nn.Module, task: Task, workers: int = 0) -> tuple[int, int]:
    """Count the images that a network classifies right *before* it is converted.

    Args:
        model: A trained QCFS network; with masks, one draw for each image.
        task: What to judge it by; its T is not used.
        workers: Processes that read images ahead.

    Returns:
        Right answers, and images.

    Raises:
        SampleError: an image cannot be read; the message names it.
    """
    source, right = task.source(), 0
    set_masking(model, task.masking, task.seed)
    try:
        with torch.no_grad(), one_thread():
            for images, labels in read(source, _blocks(source), workers):
                right += int((model(images).argmax(-1) == labels).sum())
    finally:
        set_masking(model, None)
    return right, len(source)


def _blocks(source: Source) -> list[range]:
    """Return the numbers of the images of each block."""
    count = len(source)
    return [range(first, min(first + BLOCK, count)) for first in range(0, count, BLOCK)]


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        with _writing(Path(out)):
            Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of an error in a ``with`` block, which writes, where it was and how to go on."""
    try:
        yield
    except OSError as trouble:
        full = trouble.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EvaluationError(
            f"cannot write to {folder} ({trouble.strerror or trouble}): what is finished there is "
            f"kept; {'make room' if full else 'put that right'}, and the same command goes on"
        ) from None


@cache  # a sweep evaluates many times
def _group() -> distributed.ProcessGroup:
    """Connect this process with the others of its launch."""
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.new_group(backend="gloo", timeout=_PATIENCE)


def _connect(folder: Path, world: int) -> None:
    """Meet the other processes of a launch of so many."""
    if world > 1:
        with _peers(folder):
            _group()


def _wait(folder: Path, world: int) -> None:
    """Wait until every process of a launch of so many has come so far."""
    if world > 1:
        with _peers(folder):
            distributed.barrier(_group())


@contextmanager
def _peers(folder: Path) -> Iterator[None]:
    """Say of an error in a ``with`` block, which needs the other processes, how to go on."""
    try:
        yield
    except RuntimeError as trouble:
        reason = str(trouble).split("\n")[0]
        raise EvaluationError(
            f"another process of this launch has ended, and its own message says why ({reason}); "
            f"what is finished is kept in {folder}, and the same command goes on from there"
        ) from None


def _claim(folder: Path, model: nn.Module, task: Task, source: Source) -> str:
    """Note in a folder what is evaluated there, or see that it is the same; return its digest."""
    digest = hashlib.sha256(repr(getattr(model, "config", None)).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    asked = asdict(task) | {"images": len(source), "network": digest.hexdigest(), "block": BLOCK}
    del asked["root"]  # the same images may lie elsewhere tomorrow
    asked["labels"] = source.identity()["data.labels"]  # and other images there today
    asked["standin"] = standins.is_standin(task.data, task.root)
    text = json.dumps(asked, indent=1)
    asked, path = json.loads(text), folder / _TASK
    with _writing(folder):
        if not path.exists():
            write_new(path, f"{text}\n".encode())
    try:
        known = json.loads(path.read_bytes())
        differing = [
            f"{name}: {known.get(name)} there, {value} now"
            for name, value in asked.items()
            if known.get(name) != value
        ]
    except (AttributeError, ValueError):
        raise EvaluationError(f"{path} is damaged; name another folder") from None
    if differing:
        raise EvaluationError(
            f"{folder} holds another evaluation ({'; '.join(differing)}): name another folder"
        )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _share(
    model: nn.Module,
    task: Task,
    source: Source,
    folder: Path,
    claim: str,
    rank: int,
    world: int,
    workers: int = 0,
    progress: bool = False,
) -> None:
    """Simulate the blocks of one process that are not done yet, a line for each."""
    done, rows = _done(folder, claim), _blocks(source)
    blocks = [b for b in range(len(rows)) if b % world == rank and b not in done]
    if not blocks:
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", rank))
        device = torch.device("cuda", local % torch.cuda.device_count())
    snn = convert(model).to(device)
    batches = read(source, [rows[b] for b in blocks], workers)
    if progress and rank == 0:
        from tqdm import tqdm

        batches = tqdm(batches, "blocks", len(blocks), leave=False)
    with one_thread():
        for block, (images, labels) in zip(blocks, batches, strict=True):
            first = rows[block].start
            run = simulate(snn, images, task.steps, task.masking, task.seed, first=first)
            right = (run.logits.cumsum(0).argmax(-1) == labels.to(run.logits.device)).sum(1)
            tally = Tally(
                len(images),
                tuple(right.tolist()),
                run.spike_counts,
                {name: len(counts) for name, counts in run.neuron_counts.items()},
                run.delivered,
                run.logits.shape[-1],
            )
            line = json.dumps({"claim": claim, "block": block} | asdict(tally))
            with _writing(folder):
                _append(folder / f"part-{rank}.jsonl", line.encode())


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file, and force it to the disk."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line  # one before was interrupted
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread while a ``with`` block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _done(folder: Path, claim: str) -> dict[int, Tally]:
    """Return the finished blocks; a line that was interrupted, or of another claim, is none."""
    done = {}
    for path in sorted(folder.glob("part-*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
                if entry.pop("claim") == claim:
                    block = entry.pop("block")
                    done[block] = Tally(**entry | {"right": tuple(entry["right"])})
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
    return done


def _merge(folder: Path, claim: str, blocks: int) -> Tally:
    """Add up all blocks."""
    done = _done(folder, claim)
    missing = [b for b in range(blocks) if b not in done]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {blocks} blocks are missing in {folder}: a process ended early. "
            "Give the same command again, and only these are done"
        )
    total = done[0]
    for block in range(1, blocks):
        total += done[block]
    return total


def _start(
    model: nn.Module, task: Task, folder: Path, claim: str, processes: int, workers: int
) -> None:
    """Start processes, and wait for them."""
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, spawn

    started = spawn(_work, (model, task, folder, claim, processes, workers), processes, join=False)
    try:
        while not started.join():
            pass
    except ProcessRaisedException as trouble:
        raise EvaluationError(
            f"a process failed: {str(trouble).strip().splitlines()[-1]}"
        ) from None
    except ProcessExitedException as trouble:
        raise EvaluationError(
            f"a process ended early ({trouble}); what it finished is kept in {folder}"
        ) from None
    finally:
        for process in started.processes:  # some are left only where this one is interrupted
            process.terminate()
            process.join()


def _work(
    rank: int,
    model: nn.Module,
    task: Task,
    folder: Path,
    claim: str,
    processes: int,
    workers: int,
) -> None:
    """Do the share of one process that was started here."""
    _share(model, task, task.source(), folder, claim, rank, processes, workers)
