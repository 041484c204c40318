"""Run a converted network over time: spikes in, one set of logits a step out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mstlib.convert import SpikingNetwork
from mstlib.energy import power
from mstlib.masking import Masking, set_masking

CACHED_ROWS = 128  # images times steps in one chunk: the quickest on the processors we measured


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
    """

    logits: Tensor
    neuron_counts: dict[str, Tensor]
    step_counts: dict[str, Tensor]
    delivered: dict[str, int]
    spikes: dict[str, Tensor] = field(default_factory=dict)
    masking: Masking = field(default_factory=Masking)
    seed: int = 0

    @property
    def steps(self) -> int:
        """T."""
        return self.logits.shape[0]

    @property
    def images(self) -> int:
        """B."""
        return self.logits.shape[1]

    @property
    def spike_counts(self) -> dict[str, int]:
        """Spikes emitted by each layer, summed over its neurons, the steps and the images."""
        return {name: int(counts.sum()) for name, counts in self.neuron_counts.items()}

    @property
    def firing_rates(self) -> dict[str, float]:
        """Spikes per neuron and step in each layer, between 0 and 1."""
        return {
            name: int(counts.sum()) / (len(counts) * self.steps * self.images)
            for name, counts in self.neuron_counts.items()
        }

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
    batch_size: int = 16,
    chunk: int | None = None,
    record: Iterable[str] = (),
) -> Run:
    """Show images to a spiking network for a number of time steps (Eq. 2 and 3 in every layer).

    The image is the same input current at every step. The work is done layer by layer for `chunk`
    steps at a time, which is fast because every linear layer sees many rows at once, and exact
    because only the membrane potentials pass from one step to the next.

    Args:
        snn: A converted network.
        images: ``(B, channels, height, width)``, normalised as in training.
        steps: T ≥ 1.
        masking: Random spike masking; ``None`` for none.
        seed: Seed of the masks. The result depends on it, and not on `batch_size` or `chunk`.
        batch_size: Images simulated together; bounds the memory.
        chunk: Steps simulated together; bounds the memory. By default as many as keep the
            activations of a batch within a processor's cache.
        record: Names of layers whose every spike is to be kept in `Run.spikes`.

    Returns:
        A `Run`.

    Raises:
        ValueError: no steps, images of the wrong shape or with values that are not finite, a layer
            to record that does not exist, or masks where the network has none.

    Warns:
        UserWarning: the network was trained with another masking than this one.
    """
    _check(snn, images, steps, batch_size, 1 if chunk is None else chunk)
    if chunk is None:
        chunk = max(1, CACHED_ROWS // min(batch_size, len(images)))
    record = tuple(record)
    for name in record:
        if name not in snn.neurons:
            raise ValueError(f"no spiking layer {name!r}; there are: {', '.join(snn.neurons)}")
    masking = masking or Masking()
    if snn.trained_masking is not None and masking != snn.trained_masking:
        warnings.warn(
            f"this network was trained with {snn.trained_masking} and is simulated with {masking}: "
            "its scores are off by the ratio of what is kept",
            stacklevel=3,  # past the decorator, to the caller
        )
    set_masking(snn, masking, seed)
    images = images.to(next(iter(snn.neurons.values())).threshold)
    snn.eval()
    try:
        parts = [
            _simulate_batch(snn, images, slice(first, first + batch_size), steps, chunk, record)
            for first in range(0, len(images), batch_size)
        ]
    finally:
        set_masking(snn, None)
        snn.reset()
    return Run(
        torch.cat([p.logits for p in parts], 1),
        {n: sum(p.neuron_counts[n] for p in parts) for n in snn.neurons},
        {n: sum(p.step_counts[n] for p in parts) for n in snn.neurons},
        {n: sum(p.delivered[n] for p in parts) for n in parts[0].delivered},
        {n: torch.cat([p.spikes[n] for p in parts], 1) for n in record},
        masking,
        seed,
    )


def _simulate_batch(
    snn: SpikingNetwork,
    images: Tensor,
    batch: slice,
    steps: int,
    chunk: int,
    record: tuple[str, ...],
) -> Run:
    """Simulate one batch of the images, chunk of time by chunk of time."""
    x = images[batch]
    which = range(len(images))[batch]
    spikes: dict[str, list[Tensor]] = {name: [] for name in record}
    handles = [
        snn.neurons[name].register_forward_hook(
            lambda m, _, out, kept=kept: kept.append((out != 0).view(m.steps, m.images, -1).cpu())
        )
        for name, kept in spikes.items()
    ]
    snn.reset()
    logits = []
    try:
        for t in range(0, steps, chunk):
            now = range(t, min(t + chunk, steps))
            logits.append(snn.advance(x, now, which))
    finally:
        for handle in handles:
            handle.remove()
    return Run(
        torch.cat(logits),
        {name: neuron.counts for name, neuron in snn.neurons.items()},
        {name: torch.cat(neuron.step_counts) for name, neuron in snn.neurons.items()},
        {name: mask.delivered for name, mask in snn.masks.items() if mask.ratio > 0},
        {name: torch.cat(kept) for name, kept in spikes.items()},
    )


def _check(snn: SpikingNetwork, images: Tensor, steps: int, batch_size: int, chunk: int) -> None:
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(f"simulate takes a converted network, not {type(snn).__name__}: convert it")
    for name, value in (("steps", steps), ("batch_size", batch_size), ("chunk", chunk)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, not {value!r}")
    check_images(images, snn.input_shape)


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
