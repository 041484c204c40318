"""The conversion error, accounted for: how much each cause adds in each layer, and what it costs.

All causes are gaps between a mean of values and a value of means. Let a bar denote the average over
the first T steps. In a layer of neurons with threshold θ, mean current z̄ and N_T spikes,

    θ·N_T/T − ReLU(z̄) =   clip(z̄, 0, θ) − ReLU(z̄)           clipping
                        + QCFS_T(z̄) − clip(z̄, 0, θ)          quantisation
                        + θ·N_T/T − QCFS_T(z̄)                unevenness

where QCFS_T is the staircase of T levels. In every other layer f that is not linear in time, it is
the average of f over the steps minus f of the averages: "product" for Q·Kᵀ and A·V, "softmax", and
"norm". Linear layers have none. The list is complete: a run in which all six are taken back has
exactly the mean signals of the ReLU network (see `repair`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib.convert import SpikingNetwork
from mstlib.models.layers import Product, ReadoutNorm, SpikeSoftmax
from mstlib.models.watching import watching
from mstlib.neurons import IFNeuron
from mstlib.qcfs import QCFS, qcfs
from mstlib.simulate import Run, check_images, simulate

CAUSES = ("clipping", "quantisation", "unevenness", "product", "softmax", "norm")
_ONE_CAUSE = {Product: "product", nn.Softmax: "softmax", _BatchNorm: "norm", ReadoutNorm: "norm"}


@dataclass(frozen=True)
class Entry:
    """One error of one layer.

    Attributes:
        layer: Name of the layer.
        cause: One of `CAUSES`, or "drift".
        steps: T, the steps averaged over.
        error: Root mean square of the error over images and elements, in the layer's own units.
        reference: Root mean square of the signal that the error is measured against.
    """

    layer: str
    cause: str
    steps: int
    error: float
    reference: float

    @property
    def relative(self) -> float:
        """Error over reference; 0 where both are 0, as in a layer that is silent and should be."""
        if self.reference == 0:
            return 0.0 if self.error == 0 else float("inf")
        return self.error / self.reference


class Ledger(list[Entry]):
    """Entries in the order of execution; prints the relative errors at the largest T."""

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in order."""
        return list(dict.fromkeys(entry.layer for entry in self))

    @property
    def causes(self) -> list[str]:
        """The causes that can arise in this network."""
        present = {entry.cause for entry in self}
        return [c for c in CAUSES if c in present] + sorted(present - set(CAUSES))

    @property
    def steps(self) -> list[int]:
        """The numbers of steps T at which the errors were taken."""
        return sorted({entry.steps for entry in self})

    def at(self, steps: int) -> Ledger:
        """Return the entries of one T.

        Raises:
            ValueError: the errors were not taken there.
        """
        if steps not in self.steps:
            raise ValueError(f"this ledger holds T = {self.steps}, not {steps}")
        return Ledger(entry for entry in self if entry.steps == steps)

    def totals(self, steps: int | None = None) -> dict[str, float]:
        """Return the relative error of each cause, averaged over the layers where it can arise.

        Args:
            steps: T; ``None`` for the largest.
        """
        entries = self.at(self.steps[-1] if steps is None else steps)
        return {
            cause: sum(each) / len(each)
            for cause in entries.causes
            if (each := [e.relative for e in entries if e.cause == cause])
        }

    def __repr__(self) -> str:
        entries = self.at(self.steps[-1])
        value = {(e.layer, e.cause): f"{e.relative:.3f}" for e in entries}
        width = max(map(len, entries.layers)) + 2
        rows = [f"{f'T = {entries.steps[0]}':<{width}}", *(f"{n:<{width}}" for n in entries.layers)]
        for cause in entries.causes:
            rows[0] += f"{cause:>14}"
            for i, layer in enumerate(entries.layers, 1):
                rows[i] += f"{value.get((layer, cause), '·'):>14}"
        return "\n".join(rows)


def ledger(
    snn: SpikingNetwork,
    images: Tensor,
    steps: int | Sequence[int] = 64,
    *,
    batch_size: int = 64,
    chunk: int = 16,
) -> Ledger:
    """Measure, in every layer, what separates spikes from activations, cause by cause.

    Each error is *local*: the layer is judged on the signals that really reach it, errors of
    earlier layers included, so that no layer answers for another. The three errors of a neuron are
    measured against ReLU(z̄), the others against the layer applied to the average of its inputs.

    Args:
        snn: A converted network; it is run without masks.
        images: ``(B, channels, height, width)``, normalised as in training.
        steps: T, or several, increasing: one run serves all.
        batch_size: Images simulated together.
        chunk: Steps simulated together.

    Returns:
        A `Ledger` with an entry for each layer, cause and T.

    Raises:
        ValueError: steps that are not whole numbers from 1 up, increasing; or bad images.
    """
    squares: dict[tuple[int, str, str], list[float]] = {}
    for taken, name, module, means in averages(snn, images, steps, batch_size, chunk):
        for cause, error, reference in _gaps(module, means, taken):
            _add(squares, (taken, name, cause), error, reference)
    return _close(squares)


def drift(
    ann: nn.Module,
    snn: SpikingNetwork,
    images: Tensor,
    steps: int | Sequence[int] = 64,
    *,
    batch_size: int = 64,
    chunk: int = 16,
) -> Ledger:
    """Compare the spiking network with its original layer by layer: errors *accumulated* so far.

    Args:
        ann: The QCFS network, or another with the same layers (for instance with more levels).
        snn: The converted network.
        images: As for `ledger`.
        steps: As for `ledger`.
        batch_size: As for `ledger`.
        chunk: As for `ledger`.

    Returns:
        A `Ledger` of "drift": the difference between θ·N_T/T and the activation of the original,
        for each spiking layer, and last for the mean logits as ``"logits"``.

    Raises:
        ValueError: as for `ledger`; or the two networks have different spiking layers.
    """
    names = [name for name, module in ann.named_modules() if isinstance(module, QCFS)]
    if names != list(snn.neurons):
        raise ValueError("the two networks do not have the same spiking layers")
    activations: dict[str, list[Tensor]] = {name: [] for name in ("", *names)}
    modules = dict(ann.named_modules())

    def keep(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        activations[name].append(output)

    squares: dict[tuple[int, str, str], list[float]] = {}
    with torch.no_grad(), watching({modules[name]: partial(keep, name) for name in activations}):
        for batch in images.split(batch_size):
            ann(batch.to(next(ann.parameters())))
    read = {taken: dict.fromkeys(activations, 0) for taken in _checked(steps)}
    watched = (IFNeuron, type(snn.net))
    for taken, name, _, means in averages(snn, images, steps, batch_size, chunk, watched):
        if name in activations:
            reference = activations[name][read[taken][name]].double()
            read[taken][name] += 1
            key = (taken, name or "logits", "drift")
            _add(squares, key, means[-1] - reference, reference)
    return _close(squares)


def repair(
    snn: SpikingNetwork,
    images: Tensor,
    steps: int,
    causes: Iterable[str],
    *,
    batch_size: int = 32,
) -> Run:
    """Simulate with some causes of error taken back, to learn what each costs the answer.

    In every layer a constant is added to the output of all steps, such that its average over the T
    steps loses the error of these causes; its timing stays as it is. No hardware could do this,
    since the constant is known only after the last step: it is an experiment, not a method. With
    all of `CAUSES` the mean logits are those of the ReLU network; with all but "clipping", those of
    a QCFS network with infinitely many levels.

    Args:
        snn: A converted network; it is run without masks.
        images: As for `ledger`.
        steps: T ≥ 1. All steps are held in memory at once.
        causes: Some of `CAUSES`.
        batch_size: Images simulated together; bounds the memory.

    Returns:
        A `Run` of which only what is averaged over all T steps means something.

    Raises:
        ValueError: an unknown cause, or whatever `simulate` refuses.
    """
    causes = tuple(causes)
    for cause in causes:
        if cause not in CAUSES:
            raise ValueError(f"unknown cause {cause!r}; the causes are: {', '.join(CAUSES)}")

    def take_back(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        means = [
            x.unflatten(0, (steps, -1)).mean(0, dtype=torch.float64) for x in (*inputs, output)
        ]
        owed = sum(error for cause, error, _ in _gaps(module, means, steps) if cause in causes)
        return output if isinstance(owed, int) else _shift(output, -owed, steps)

    softmaxes = [module for module in snn.modules() if isinstance(module, SpikeSoftmax)]
    try:
        for softmax in softmaxes:
            softmax.binary = False  # what is taken back from a score moves it off 0 and θ
        with watching({module: take_back for _, module in _lossy(snn)}):
            return simulate(snn, images, steps, batch_size=batch_size, chunk=steps)
    finally:
        for softmax in softmaxes:
            softmax.binary = True


def _shift(x: Tensor, constant: Tensor, steps: int) -> Tensor:
    """Add one constant to every step of ``(T·B·w, ...)``."""
    return (x.unflatten(0, (steps, -1)) + constant.to(x.dtype)).view_as(x)


def _gaps(
    module: nn.Module, means: list[Tensor], steps: int
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield each error of one layer, from the averages of its inputs and (last) its output.

    Yields:
        ``(cause, error, reference)``.
    """
    *inputs, output = means
    if isinstance(module, IFNeuron):
        (z,), theta = inputs, module.threshold.double()
        ideal, clipped, staircase = z.relu(), z.clamp(0, theta), qcfs(z, theta, steps)
        yield "clipping", clipped - ideal, ideal
        yield "quantisation", staircase - clipped, ideal
        yield "unevenness", output - staircase, ideal
    else:
        cause = next(c for kind, c in _ONE_CAUSE.items() if isinstance(module, kind))
        dtype = next((p.dtype for p in module.parameters()), output.dtype)
        # Not module(...): the hooks that watch it must not see this.
        function = getattr(module, "smooth", module.forward)
        exact = function(*(x.to(dtype) for x in inputs)).double()
        yield cause, output - exact, exact


def _lossy(snn: SpikingNetwork) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers in which an error can arise, by name, in order of execution."""
    for name, module in snn.net.named_modules():
        if isinstance(module, (IFNeuron, *_ONE_CAUSE)):
            yield name, module


class _Sums:
    """A forward hook that adds up, over time, what enters and what leaves one layer."""

    def __init__(self) -> None:
        self.totals: list[Tensor | int] = []

    def expect(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sums = [
            x.unflatten(0, (self.steps, -1)).sum(0, dtype=torch.float64) for x in (*inputs, output)
        ]
        self.totals = [a + b for a, b in zip(self.totals or [0] * len(sums), sums, strict=True)]


@torch.no_grad()
def averages(
    snn: SpikingNetwork,
    images: Tensor,
    steps: int | Sequence[int],
    batch_size: int = 64,
    chunk: int = 16,
    kinds: tuple[type, ...] = (IFNeuron, *_ONE_CAUSE),
) -> Iterator[tuple[int, str, nn.Module, list[Tensor]]]:
    """Run the network; at each T, batch by batch, yield what each layer took and gave on average.

    Args:
        snn: A converted network; it is run without masks.
        images: As for `ledger`.
        steps: As for `ledger`.
        batch_size: Images simulated together.
        chunk: Steps simulated together.
        kinds: The layers to watch, by their classes.

    Yields:
        ``(T, layer name, layer, [average input, ..., average output])``, in float64.
    """
    if not isinstance(snn, SpikingNetwork):
        raise TypeError(f"takes a converted network, not {type(snn).__name__}: convert it")
    check_images(images, snn.input_shape)
    steps = _checked(steps)
    images = images.to(next(iter(snn.neurons.values())).threshold)
    snn.eval()
    watched = [(name, m) for name, m in snn.net.named_modules() if isinstance(m, kinds)]
    watched.sort(key=lambda pair: not pair[0])  # the network itself, unnamed, ends the execution
    for first in range(0, len(images), batch_size):
        x = images[first : first + batch_size]
        which = range(first, first + len(x))
        sums = {module: _Sums() for _, module in watched}
        snn.reset()
        try:
            with watching(sums):
                for last, taken in pairwise((0, *steps)):
                    for t in range(last, taken, chunk):
                        now = range(t, min(t + chunk, taken))
                        for each in sums.values():
                            each.expect(len(now))
                        snn.advance(x, now, which)
                    for name, module in watched:
                        means = [total / taken for total in sums[module].totals]
                        yield taken, name, module, means
        finally:
            snn.reset()


def _checked(steps: int | Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of steps as a tuple, or refuse them."""
    given = tuple(steps) if isinstance(steps, Sequence) else (steps,)
    whole = given and all(isinstance(t, int) for t in given)
    if not whole or any(a >= b for a, b in pairwise((0, *given))):
        raise ValueError(f"steps must be whole numbers from 1 up, increasing, not {steps!r}")
    return given


def _add(
    squares: dict[tuple[int, str, str], list[float]],
    key: tuple[int, str, str],
    error: Tensor,
    reference: Tensor,
) -> None:
    total = squares.setdefault(key, [0.0, 0.0, 0])
    total[0] += float(error.double().square().sum())
    total[1] += float(reference.double().square().sum())
    total[2] += error.numel()


def _close(squares: dict[tuple[int, str, str], list[float]]) -> Ledger:
    """Turn sums of squares into root mean squares."""
    return Ledger(
        Entry(name, cause, taken, (error / count) ** 0.5, (reference / count) ** 0.5)
        for (taken, name, cause), (error, reference, count) in squares.items()
    )
