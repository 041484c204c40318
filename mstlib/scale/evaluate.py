"""A spiking network on a whole data set: in pieces, on many processes, and after interruptions.

The data set is cut into blocks of a few images. A block is always simulated by itself, and its
masks depend on where it lies in the data set, so it gives the same whole numbers (right answers
after each step, spikes of each layer) whichever process takes it and whenever. Each finished block
is a line in a file; the result is the sum of the lines. A process computes on one thread, since
sums of 32-bit numbers depend on how many there are: to use more of a processor, start more of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from mstlib import data
from mstlib.convert import convert
from mstlib.data import standins
from mstlib.data.checks import check_count, check_size, shuffled
from mstlib.data.folders import FOLDERS
from mstlib.masking import Masking, set_masking
from mstlib.simulate import simulate
from mstlib.state_dicts import write_whole

BLOCK = 16  # images: as many as the engine simulates at once
_TASK = "evaluation.json"


class EvaluationError(ValueError):
    """An evaluation cannot be merged or gone on with; the message says why."""


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

    Under ``accelerate launch``, every process of the launch takes its share and only the first gets
    the tally of all; the others get their own.

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
        EvaluationError: the folder holds the evaluation of something else; or a process died, and
            the message says how to go on.
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
    samples = task.samples()
    with _folder(out) as folder:
        _claim(folder, model, task, len(samples))
        if processes > 1:
            _start(model, task, folder, processes, workers)
        else:
            _share(model, task, samples, folder, rank, world, workers, progress)
        if world > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
        return _merge(folder, -(-len(samples) // BLOCK), None if rank == 0 else (rank, world))


def correct(model: nn.Module, task: Task, workers: int = 0) -> tuple[int, int]:
    """Count the images that a network classifies right *before* it is converted.

    Args:
        model: A trained QCFS network; with masks, one draw for each image.
        task: What to judge it by; its T is not used.
        workers: Processes that read images ahead.

    Returns:
        Right answers, and images.
    """
    samples, right = task.samples(), 0
    set_masking(model, task.masking, task.seed)
    try:
        with torch.no_grad(), one_thread():
            for images, labels in DataLoader(samples, BLOCK, num_workers=workers):
                right += int((model(images).argmax(-1) == labels).sum())
    finally:
        set_masking(model, None)
    return right, len(samples)


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def _claim(folder: Path, model: nn.Module, task: Task, images: int) -> None:
    """Note in a folder what is evaluated there, or see that it is the same."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    asked = asdict(task) | {"images": images, "network": digest.hexdigest(), "block": BLOCK}
    del asked["root"]  # the same images may lie elsewhere tomorrow
    asked["standin"] = standins.is_standin(task.data, task.root)
    asked = json.loads(json.dumps(asked))
    path = folder / _TASK
    if not path.exists():
        write_whole(path, f"{json.dumps(asked, indent=1)}\n".encode())
        return
    try:
        known = json.loads(path.read_text())
    except ValueError:
        raise EvaluationError(f"{path} is damaged; name another folder") from None
    differing = [
        f"{name}: {known.get(name)} there, {value} now"
        for name, value in asked.items()
        if known.get(name) != value
    ]
    if differing:
        raise EvaluationError(
            f"{folder} holds another evaluation ({'; '.join(differing)}): name another folder"
        )


def _share(
    model: nn.Module,
    task: Task,
    samples: Dataset,
    folder: Path,
    rank: int,
    world: int,
    workers: int = 0,
    progress: bool = False,
) -> None:
    """Simulate the blocks of one process that are not done yet, a line for each."""
    done = _done(folder)
    blocks = [b for b in range(-(-len(samples) // BLOCK)) if b % world == rank and b not in done]
    if not blocks:
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", rank))
        device = torch.device("cuda", local % torch.cuda.device_count())
    snn = convert(model).to(device)
    rows = [range(BLOCK * b, min(BLOCK * (b + 1), len(samples))) for b in blocks]
    batches = DataLoader(samples, batch_sampler=rows, num_workers=workers)
    if progress and rank == 0:
        from tqdm import tqdm

        batches = tqdm(batches, "blocks", len(blocks), leave=False)
    path = folder / f"part-{rank}.jsonl"
    with one_thread(), path.open("a+b") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")  # a line that was interrupted
        for block, (images, labels) in zip(blocks, batches, strict=True):
            first = BLOCK * block
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
            file.write(f"{json.dumps({'block': block} | asdict(tally))}\n".encode())
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


def _done(folder: Path) -> dict[int, Tally]:
    """Return the finished blocks; a line that was interrupted is none."""
    done = {}
    for path in sorted(folder.glob("part-*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
                block = entry.pop("block")
                done[block] = Tally(**entry | {"right": tuple(entry["right"])})
            except (ValueError, KeyError, TypeError):
                continue
    return done


def _merge(folder: Path, blocks: int, share: tuple[int, int] | None) -> Tally:
    """Add up all blocks, or those of one process."""
    done = _done(folder)
    wanted = [b for b in range(blocks) if share is None or b % share[1] == share[0]]
    missing = [b for b in wanted if b not in done]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {blocks} blocks are missing in {folder}: a process ended early. "
            "Give the same command again, and only these are done"
        )
    if not wanted:
        raise EvaluationError(f"no block of {blocks} is left for process {share[0]}: start fewer")
    total = done[wanted[0]]
    for block in wanted[1:]:
        total += done[block]
    return total


def _start(model: nn.Module, task: Task, folder: Path, processes: int, workers: int) -> None:
    """Start processes, and wait for them."""
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, spawn

    try:
        spawn(_work, (model, task, folder, processes, workers), processes)
    except ProcessRaisedException as trouble:
        raise EvaluationError(
            f"a process failed: {str(trouble).strip().splitlines()[-1]}"
        ) from None
    except ProcessExitedException as trouble:
        raise EvaluationError(
            f"a process ended early ({trouble}); what it finished is kept in {folder}"
        ) from None


def _work(
    rank: int, model: nn.Module, task: Task, folder: Path, processes: int, workers: int
) -> None:
    """Do the share of one process that was started here."""
    _share(model, task, task.samples(), folder, rank, processes, workers)
