"""Run a converted network over time: spikes in, one set of logits a step out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from mstlib.convert import SpikingNetwork
from mstlib.early_exit import Confidence
from mstlib.energy import power
from mstlib.engine.workers import is_watched, keep_freed_memory, side_by_side, sizes
from mstlib.masking import Masking, set_masking
from mstlib.models.watching import watching
from mstlib.neurons import IFNeuron


@dataclass
class Run:
    """What came out of a simulation of B images over T steps.

    Attributes:
        logits: ``(T, B, classes)``, each step's own output; the network's answer after t steps is
            their mean over the first t.
        neuron_counts: ``{layer: (neurons,)}`` spikes emitted by each neuron, summed over steps and
            images.
        step_counts: ``{layer: (T,)}`` spikes emitted at each step, summed over images.
        delivered: ``{mask: spikes}`` that passed each mask with a ratio above 0.
        spikes: ``{layer: bool (T, B, neurons)}`` of the layers that were to be recorded.
        masking: The masking used.
        seed: The seed of its masks.
        taken: ``(B,)``, the steps that each image took: T, but for those that an early exit
            stopped. The logits of a stopped image are from then on the mean of those before, so
            that its answer stays; it emits no spikes.
    """

    logits: Tensor
    neuron_counts: dict[str, Tensor]
    step_counts: dict[str, Tensor]
    delivered: dict[str, int]
    spikes: dict[str, Tensor] = field(default_factory=dict)
    masking: Masking = field(default_factory=Masking)
    seed: int = 0
    taken: Tensor | None = None

    def __post_init__(self) -> None:
        if self.taken is None:
            self.taken = torch.full((self.images,), self.steps)

    @property
    def steps(self) -> int:
        """T."""
        return self.logits.shape[0]

    @property
    def images(self) -> int:
        """B."""
        return self.logits.shape[1]

    @property
    def image_steps(self) -> int:
        """Steps taken, summed over the images: T·B where none stopped early."""
        return int(self.taken.sum())

    @property
    def spike_counts(self) -> dict[str, int]:
        """Spikes emitted by each layer, summed over its neurons, the steps and the images."""
        return {name: int(counts.sum()) for name, counts in self.neuron_counts.items()}

    @property
    def firing_rates(self) -> dict[str, float]:
        """Spikes per neuron and step in each layer, between 0 and 1."""
        neurons = {name: len(counts) for name, counts in self.neuron_counts.items()}
        return {n: c / (neurons[n] * self.image_steps) for n, c in self.spike_counts.items()}

    @property
    def silent(self) -> dict[str, float]:
        """Share of each layer's neurons that never fired, at any step, for any image."""
        return {n: float((c == 0).double().mean()) for n, c in self.neuron_counts.items()}

    def predictions(self, t: int | None = None) -> Tensor:
        """Return the class of each image, ``(B,)``, from the mean logits of the first t steps.

        Raises:
            ValueError: t is not between 1 and T.
        """
        t = self.steps if t is None else t
        if not 1 <= t <= self.steps:
            raise ValueError(f"t must be between 1 and {self.steps}, not {t}")
        return self.logits[:t].mean(0).argmax(-1)

    def accuracy(self, labels: Tensor) -> Tensor:
        """Return the share of right answers after each step, ``(T,)``.

        Args:
            labels: ``(B,)`` true classes.
        """
        if labels.shape != (self.images,):
            raise ValueError(f"labels must be ({self.images},), not {tuple(labels.shape)}")
        return (self.logits.cumsum(0).argmax(-1) == labels).double().mean(1)

    def power(self, alpha: float = 1.0) -> float:
        """Return the power of Eq. 10 in watts, for one image, per step: see `mstlib.energy.power`.

        Args:
            alpha: Energy of one spike, in joules.
        """
        return power(self, alpha)


@torch.no_grad()
def simulate(
    snn: SpikingNetwork,
    images: Tensor,
    steps: int = 64,
    masking: Masking | None = None,
    seed: int = 0,
    *,
    until: Confidence | None = None,
    batch_size: int | None = None,
    chunk: int | None = None,
    record: Iterable[str] = (),
    first: int = 0,
    as_trained: bool = True,
) -> Run:
    """Show images to a spiking network for a number of time steps (Eq. 2 and 3 in every layer).

    The image is the same input current at every step. Of a film, each frame is shown for an equal
    part of the steps, in their order: time in the film is time in the network. The work is done
    layer by layer for `chunk` steps at a time, which is fast because every linear layer sees many
    rows at once, and exact because only the membrane potentials pass from one step to the next.
    Batches of images are worked on side by side, one on each of PyTorch's threads, unless hooks
    watch the network.

    Args:
        snn: A converted network.
        images: ``(B, channels, height, width)``, normalised as in training, or films of n frames,
            ``(B, n, channels, height, width)``.
        steps: T ≥ 1; for films a multiple of n.
        masking: Random spike masking; ``None`` for none.
        seed: Seed of the masks. The result depends on it, and not on `batch_size` or `chunk`.
        until: Stop each image once its answer is settled; ``None`` runs all for T steps.
        batch_size: Images simulated together; bounds the memory.
        chunk: Steps simulated together; bounds the memory. By default as many as keep the
            activations of a batch near the processor.
        record: Names of layers whose every spike is to be kept in `Run.spikes`.
        first: Place of the first image, where these are some of many: the masks depend on it.
        as_trained: Warn where the masking is not that of the training; False where that is meant.

    Returns:
        A `Run`.

    Raises:
        ValueError: no steps, or not a multiple of a film's frames; images of the wrong shape or
            with values that are not finite, a layer to record that does not exist, or masks where
            the network has none.

    Warns:
        UserWarning: the network was trained with another masking than this one.
    """
    record = tuple(record)
    _check(snn, images, steps, batch_size, chunk)
    if not isinstance(first, int) or first < 0:
        raise ValueError(f"first must be a whole number >= 0, not {first!r}")
    if until is not None and not isinstance(until, Confidence):
        raise TypeError(f"until must be a Confidence or None, not {until!r}")
    for name in record:
        if name not in snn.neurons:
            raise ValueError(f"no spiking layer {name!r}; there are: {', '.join(snn.neurons)}")
    masking = masking or Masking()
    if as_trained and snn.trained_masking not in (None, masking):
        warnings.warn(
            f"this network was trained with {snn.trained_masking} and is simulated with {masking}: "
            "its scores are off by the ratio of what is kept",
            stacklevel=3,  # past the decorator, to the caller
        )
    images = images.to(next(iter(snn.neurons.values())).threshold)
    watched = is_watched(snn)
    batch_size, chunk, threads = sizes(images, batch_size, chunk, watched)

    def run(snn: SpikingNetwork, start: int) -> Run:
        these = images[start : start + batch_size]
        return _simulate_batch(snn, these, first + start, steps, chunk, record, until)

    keep_freed_memory()
    set_masking(snn, masking, seed)
    for mask in snn.masks.values():
        mask.in_place = mask.alone and not watched
    snn.eval()
    try:
        parts = side_by_side(snn, run, range(0, len(images), batch_size), threads)
    finally:
        set_masking(snn, None)
        snn.reset()
    return _joined(parts, masking, seed)


def _joined(parts: list[Run], masking: Masking, seed: int) -> Run:
    """Put the runs of several batches together: counts add up, images stand side by side."""
    one = parts[0]
    return Run(
        torch.cat([p.logits for p in parts], 1),
        {n: sum(p.neuron_counts[n] for p in parts) for n in one.neuron_counts},
        {n: sum(p.step_counts[n] for p in parts) for n in one.step_counts},
        {n: sum(p.delivered[n] for p in parts) for n in one.delivered},
        {n: torch.cat([p.spikes[n] for p in parts], 1) for n in one.spikes},
        masking,
        seed,
        torch.cat([p.taken for p in parts]),
    )


@torch.no_grad()  # each thread has its own switch
def _simulate_batch(
    snn: SpikingNetwork,
    x: Tensor,
    place: int,
    steps: int,
    chunk: int,
    record: tuple[str, ...],
    until: Confidence | None,
) -> Run:
    """Simulate a batch, chunk of time by chunk of time; its first image's place is given."""
    taken = torch.full((len(x),), steps)
    running = torch.arange(len(x))  # the images of the batch that have not stopped
    kept: dict[str | None, Tensor] = {}  # by layer; of the network itself, None, its logits
    seen: dict[str | None, Tensor] = {}  # the same of this chunk

    def note(name: str, neuron: IFNeuron, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = (output != 0).view(neuron.steps, neuron.images, -1).cpu()

    snn.reset()
    with watching({snn.neurons[name]: partial(note, name) for name in record}):
        for now in _chunks(steps, chunk, until):
            shown = x if x.ndim == 4 else x[:, [t * x.shape[1] // steps for t in now]]
            seen[None] = snn.advance(shown, now, (running + place).tolist())
            for name, part in seen.items():
                if name not in kept:
                    kept[name] = part.new_zeros(steps, len(taken), part.shape[-1])
                kept[name][now.start : now.stop, running] = part
            if until is not None and now.stop % until.every == 0 and now.stop < steps:
                on = ~_stopped(until, kept[None], running, taken, now.stop)
                running, x = running[on], x[on]
                snn.keep(on)
                if len(running) == 0:
                    break
    return Run(
        kept[None],
        {name: neuron.counts.long() for name, neuron in snn.neurons.items()},
        {  # 0 after the step at which all had stopped
            name: torch.tensor(neuron.step_counts + [0] * (steps - len(neuron.step_counts)))
            for name, neuron in snn.neurons.items()
        },
        {name: mask.delivered for name, mask in snn.masks.items() if mask.ratio > 0},
        {name: kept[name] for name in record},
        taken=taken,
    )


def _stopped(until: Confidence, logits: Tensor, running: Tensor, taken: Tensor, now: int) -> Tensor:
    """Say which running images stop after so many steps; write down when, and their last answer."""
    evidence = logits[:now, running].sum(0)
    stopped = until.settled(evidence).to(running.device)
    logits[now:, running[stopped]] = (evidence / now)[stopped]
    taken[running[stopped]] = now
    return stopped


def _chunks(steps: int, chunk: int, until: Confidence | None) -> Iterator[range]:
    """Cut time into chunks, and also where the evidence is looked at."""
    t = 0
    while t < steps:
        look = steps if until is None else (t // until.every + 1) * until.every
        yield range(t, min(t + chunk, look, steps))
        t = min(t + chunk, look, steps)


def _check(
    snn: SpikingNetwork, images: Tensor, steps: int, batch_size: int | None, chunk: int | None
) -> None:
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(f"simulate takes a converted network, not {type(snn).__name__}: convert it")
    check_shown(images, steps, snn.input_shape)
    for name, value in (("batch_size", batch_size), ("chunk", chunk)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number >= 1, not {value!r}")


def check_shown(images: Tensor, steps: int, input_shape: tuple[int, int, int] | None) -> None:
    """Raise ``ValueError`` unless images, or films, can be shown for so many steps."""
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number >= 1, not {steps!r}")
    check_images(images.flatten(0, 1) if images.ndim == 5 else images, input_shape)
    if images.ndim == 5 and steps % images.shape[1]:
        raise ValueError(
            f"steps must be a multiple of the film's {images.shape[1]} frames, so that each is "
            f"shown for as long as the others; got {steps}"
        )


def check_images(images: Tensor, input_shape: tuple[int, int, int] | None) -> None:
    """Raise ``ValueError`` unless images are finite and ``(B, *input_shape)`` with B ≥ 1."""
    wanted = ("channels", "height", "width") if input_shape is None else input_shape
    fits = images.ndim == 4 and len(images) > 0
    if not fits or (input_shape is not None and tuple(images.shape[1:]) != tuple(input_shape)):
        expected = ", ".join(map(str, ("B", *wanted)))
        raise ValueError(f"images must be ({expected}) with B >= 1, not {tuple(images.shape)}")
    if not bool(images.isfinite().all()):
        bad = int((~images.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"images hold values that are NaN or infinite (in {bad} of {len(images)})")
