"""Integrate-and-fire neurons, one step at a time and over time (Eq. 2 and 3 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mstlib.engine.kernels import compiled_for, fire

RESETS = ("soft", "zero")


def if_step(
    v: Tensor, current: Tensor, threshold: float | Tensor, reset: str = "soft"
) -> tuple[Tensor, Tensor]:
    """Advance integrate-and-fire neurons by one time step (Eq. 2 and 3).

    Args:
        v: Membrane potential before the step, any shape, in the units of the threshold.
        current: Input of this step, the same shape.
        threshold: θ > 0.
        reset: ``"soft"`` subtracts θ after a spike, as the paper does; ``"zero"`` forgets
            whatever lay above it.

    Returns:
        ``(spikes, v)``: spikes 0 or 1, and the potential after the reset, both shaped like ``v``.

    Raises:
        ValueError: θ is not positive, or the reset is unknown.
    """
    check_threshold(threshold)
    if reset not in RESETS:
        raise ValueError(f"reset must be one of {RESETS}, not {reset!r}")
    u = v + current
    # `>=`: a potential exactly at θ fires. QCFS's floor agrees with this side of the tie.
    spikes = (u >= threshold).to(u.dtype)
    v = u - threshold * spikes if reset == "soft" else u * (1 - spikes)
    return spikes, v


def integrate_and_fire(
    current: Tensor,
    threshold: float | Tensor,
    v0: float | Tensor | None = None,
    reset: str = "soft",
) -> tuple[Tensor, Tensor]:
    """Run integrate-and-fire neurons over a whole input sequence (Eq. 2 and 3).

    Args:
        current: Input, shape ``(T, ...)``.
        threshold: θ > 0.
        v0: Potential before the first step. ``None`` means θ/2, which centres the rounding error
            and makes the spike count of a constant input equal to QCFS with L = T.
        reset: ``"soft"`` or ``"zero"``, see :func:`if_step`.

    Returns:
        ``(spikes, potentials)``, both ``(T, ...)``; potentials are taken after the reset.

    Raises:
        ValueError: no time step, θ not positive, or an unknown reset.
    """
    if current.ndim == 0 or len(current) == 0:
        raise ValueError(f"current must be (T, ...) with T >= 1, not {tuple(current.shape)}")
    start = threshold / 2 if v0 is None else v0
    v = torch.zeros_like(current[0]) + start
    spikes, potentials = torch.empty_like(current), torch.empty_like(current)
    for t, step in enumerate(current):
        spikes[t], v = if_step(v, step, threshold, reset)
        potentials[t] = v
    return spikes, potentials


def check_threshold(threshold: float | Tensor) -> None:
    """Raise ``ValueError`` unless θ is finite and positive."""
    value = torch.as_tensor(threshold).detach()
    if not bool(((value > 0) & value.isfinite()).all()):
        raise ValueError(f"the threshold θ must be finite and > 0, not {value.tolist()}")


class IFNeuron(nn.Module):
    """A layer of integrate-and-fire neurons with soft reset: what QCFS becomes in a spiking net.

    It works on a chunk of time at once. Its input stacks the steps along the first axis,
    ``(T·B·w, ...)`` with time outermost and ``w`` windows an image (1 outside windowed attention);
    its output, of the same shape, is θ where a neuron fired and 0 elsewhere. The membrane potential
    stays between chunks, until :meth:`reset`.

    Attributes:
        threshold: θ, a scalar tensor.
        v: Membrane potential ``(B, neurons)``, or ``None`` before the first chunk.
        counts: Spikes by neuron, ``(neurons,)``, summed over images and steps since `reset`.
        step_counts: Spikes at each time step since `reset`, summed over images and neurons.
    """

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        check_threshold(threshold)
        self.register_buffer("threshold", threshold.detach().clone().reshape(()))
        self.steps = 1
        self.reset()

    def reset(self) -> None:
        """Forget the membrane potential and the counts; the next input starts at θ/2."""
        self.v: Tensor | None = None
        self.counts: Tensor | None = None
        self.step_counts: list[int] = []
        self.images = 1

    def expect(self, steps: int, images: int) -> None:
        """Say how the next input is stacked: its time steps and its images."""
        self.steps, self.images = steps, images

    def forward(self, current: Tensor) -> Tensor:
        """Integrate a chunk of time, ``(T·B·w, ...)`` to the same shape; θ·spikes (Eq. 2, 3)."""
        flat = current.reshape(self.steps, self.images, -1)
        if self.v is None:
            self.v = torch.zeros_like(flat[0]) + self.threshold / 2
            self.counts = torch.zeros(flat.shape[-1], dtype=torch.int32, device=flat.device)
        spikes = torch.empty_like(flat)
        by_step = torch.zeros(self.steps, dtype=torch.int32, device=flat.device)
        if compiled_for(flat):
            arrays = (x.numpy() for x in (flat, self.v, spikes, self.counts, by_step))
            fire(*arrays, self.threshold.item())
        else:
            self._fire(flat, spikes, by_step)
        # Numbers and no tensors: small ones, kept, would split the memory that a chunk frees.
        self.step_counts += by_step.tolist()
        return spikes.view(current.shape)

    def _fire(self, current: Tensor, spikes: Tensor, by_step: Tensor) -> None:
        """Do with tensor operations what `mstlib.engine.kernels.fire` does, on any device."""
        for t, x in enumerate(current):
            self.v += x
            torch.ge(self.v, self.threshold, out=spikes[t])
            self.v.addcmul_(spikes[t], self.threshold, value=-1)
        counts = spikes.sum(1).int()  # (T, neurons): small floats up to B, so the sum is exact
        self.counts += counts.sum(0)
        by_step += counts.sum(1)
        spikes *= self.threshold

    def extra_repr(self) -> str:
        """Show θ."""
        return f"threshold={float(self.threshold):.4g}"
