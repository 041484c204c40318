"""The two inner loops of a simulation, compiled for the processor: fire, and mask.

They are what the equations say, element by element. Written with tensor operations each would walk
through memory three times and more; compiled, they go through it once. On other devices than the
processor `mstlib.neurons` and `mstlib.masking` do the same with tensor operations.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor


def compiled_for(x: Tensor) -> bool:
    """Tell whether the compiled loops take a tensor: it is in main memory, float32 or float64."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


# nogil: batches are simulated side by side, one thread each. cache: compiled once a machine.
@numba.njit(nogil=True, cache=True)
def fire(
    current: np.ndarray,
    v: np.ndarray,
    spikes: np.ndarray,
    neuron_counts: np.ndarray,
    step_counts: np.ndarray,
    threshold: float,
) -> None:
    """Integrate and fire over a chunk of time (Eq. 2 and 3), counting the spikes on the way.

    Args:
        current: ``(T, B, neurons)``.
        v: Membrane potentials ``(B, neurons)``, updated.
        spikes: ``(T, B, neurons)``, filled with θ where a neuron fires and 0 elsewhere.
        neuron_counts: int32 ``(neurons,)``, to which the spikes of all steps and images are added.
        step_counts: int32 ``(T,)``, to which the spikes of all images and neurons are added.
        threshold: θ.
    """
    steps, images, neurons = current.shape
    theta, zero = v.dtype.type(threshold), v.dtype.type(0)
    for t in range(steps):
        for b in range(images):
            x, potential, out = current[t, b], v[b], spikes[t, b]
            fired = np.int32(0)
            for i in range(neurons):
                u = potential[i] + x[i]
                spike = np.int32(u >= theta)  # `>=`: see `mstlib.neurons.if_step`
                charge = theta if u >= theta else zero
                potential[i] = u - charge
                out[i] = charge
                neuron_counts[i] += spike
                fired += spike
            step_counts[t] += fired


@numba.njit(nogil=True, cache=True)
def mix(h: int) -> int:
    """Scramble a 32-bit number, as `mstlib.masking` does with tensors."""
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@numba.njit(nogil=True, cache=True)
def drop(
    x: np.ndarray,
    seed: int,
    site: int,
    steps: np.ndarray,
    images: np.ndarray,
    limit: int,
) -> int:
    """Mask a chunk of spikes: a hash and a comparison each (see `mstlib.masking.mask_numbers`).

    Args:
        x: ``(T, B, neurons)``; what is dropped becomes 0.
        seed: The run's seed.
        site: Number of the masked layer within the network.
        steps: uint32 ``(T,)``, the time steps.
        images: uint32 ``(B,)``, the positions of the images in the run.
        limit: A spike whose random number lies below it is dropped.

    Returns:
        How many spikes pass.
    """
    zero, limit = x.dtype.type(0), np.uint32(limit << 8)  # the numbers are the upper 24 bits
    layer = mix(mix(np.uint32(np.uint32(seed) + np.uint32(0x5BD1E995))) ^ np.uint32(site))
    delivered = 0
    for t in range(len(steps)):
        for b in range(len(images)):
            head, spikes = mix(mix(layer ^ steps[t]) ^ images[b]), x[t, b]
            count = np.int32(0)
            for i in range(len(spikes)):
                spike = spikes[i] if mix(np.uint32(head ^ np.uint32(i))) >= limit else zero
                spikes[i] = spike
                count += np.int32(spike != zero)
            delivered += count
    return delivered
