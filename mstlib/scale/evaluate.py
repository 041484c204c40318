"""A spiking network on a whole data set: in pieces, on many processes, and after interruptions.

The data set is cut into blocks of a few images. A block is always simulated by itself, and its
masks depend on where it lies in the data set, so it gives the same whole numbers (right answers
after each step, spikes of each layer) whichever process takes it and whenever. Each finished block
is a line in a file; the result is the sum of the lines. A process computes on one thread, since
sums of 32-bit numbers depend on how many there are: to use more of a processor, start more of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from mstlib.convert import convert
from mstlib.masking import set_masking
from mstlib.scale import kept, peers
from mstlib.scale.batches import Source, read
from mstlib.scale.kept import EvaluationError, Kept
from mstlib.scale.tally import Tally
from mstlib.scale.task import Task
from mstlib.simulate import simulate


def evaluate(
    model: nn.Module,
    task: Task,
    out: str | Path | None = None,
    processes: int = 1,
    workers: int = 0,
    progress: bool = False,
) -> Tally:
    """Count right answers and spikes over a data set.

    Under ``torchrun`` or ``accelerate launch``, every process of the launch takes its share, waits
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
    rank, world = peers.place()
    if world > 1 and out is None:
        raise EvaluationError("processes of a launch meet in a folder: name one (out)")
    if world > 1 and processes > 1:
        raise EvaluationError("a launch has processes already: ask for no others")
    with tempfile.TemporaryDirectory() if out is None else nullcontext(out) as place:
        folder = Path(place)
        peers.wait(folder)  # before the work, so that all are still there
        source = task.source()
        known = kept.begin(folder, model, task, source)
        if processes > 1:
            _start(model, task, known, processes, workers)
        else:
            _share(model, task, source, known, rank, world, workers, progress)
        peers.wait(folder)
        total = known.total()
        peers.wait(folder)  # whoever leaves ends the connection that others may still wait on
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
        with torch.no_grad(), _one_thread():
            for images, labels in read(source, kept.blocks(len(source)), workers):
                right += int((model(images).argmax(-1) == labels).sum())
    finally:
        set_masking(model, None)
    return right, len(source)


def _share(
    model: nn.Module,
    task: Task,
    source: Source,
    known: Kept,
    rank: int,
    world: int,
    workers: int = 0,
    progress: bool = False,
) -> None:
    """Simulate the blocks of one process that are not done yet, a line for each."""
    done, rows = known.done(), known.blocks
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
    with _one_thread():
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
            known.add(block, tally, rank)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread while a ``with`` block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start(model: nn.Module, task: Task, known: Kept, processes: int, workers: int) -> None:
    """Start processes, and wait for them."""
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, spawn

    started = spawn(_work, (model, task, known, processes, workers), processes, join=False)
    try:
        while not started.join():
            pass
    except ProcessRaisedException as trouble:
        raise EvaluationError(
            f"a process failed: {str(trouble).strip().splitlines()[-1]}"
        ) from None
    except ProcessExitedException as trouble:
        raise EvaluationError(
            f"a process ended early ({trouble}); what it finished is kept in {known.folder}"
        ) from None
    finally:
        for process in started.processes:  # some are left only where this one is interrupted
            process.terminate()
            process.join()


def _work(
    rank: int, model: nn.Module, task: Task, known: Kept, processes: int, workers: int
) -> None:
    """Do the share of one process that was started here."""
    _share(model, task, task.source(), known, rank, processes, workers)
