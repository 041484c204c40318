"""Exercises of chapter 9: fan-out, emitted and delivered spikes, a mask's saving, break-even."""

from __future__ import annotations

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded

# 9.1 ---------------------------------------------------------------------------------------------


def _fan_out(length: int, kernel: int, stride: int, padding: int) -> Tensor:
    return _reach(length, kernel, stride, padding, (length + 2 * padding - kernel) // stride + 1)


def _reach(length: int, kernel: int, stride: int, padding: int, outputs: int) -> Tensor:
    reached = torch.zeros(length, dtype=torch.long)
    for output in range(outputs):
        for tap in range(kernel):
            place = output * stride - padding + tap
            if 0 <= place < length:
                reached[place] += 1
    return reached


FAN_OUT = Exercise(
    "9.1",
    "the fan-out of a convolution, border and stride included",
    right=_fan_out,
    cases=lambda: [(7, 3, 1, 1), (8, 3, 2, 1), (6, 3, 1, 0), (9, 2, 3, 0), (5, 5, 1, 2)],
    mistakes={
        "that is the kernel for every input; at the border an input reaches fewer outputs.": (
            lambda n, k, s, p: torch.full((n,), k)
        ),
        "the stride is missing: outputs stand `stride` inputs apart.": (
            lambda n, k, s, p: _fan_out(n, k, 1, p)
        ),
        "the padding is missing: the first output begins `padding` places before the input.": (
            lambda n, k, s, p: _fan_out(n, k, s, 0)
        ),
        "an average is not a count: with a stride, neighbours differ.": (
            lambda n, k, s, p: torch.full((n,), k // s)
        ),
        "you let outputs begin at every place of the padded input; the last ones would reach "
        "beyond its end, and do not exist.": (
            lambda n, k, s, p: _reach(n, k, s, p, (n + 2 * p - 1) // s + 1)
        ),
        "you count how many inputs each output sees (its fan-in); asked is how many outputs each "
        "input reaches.": lambda n, k, s, p: torch.full(((n + 2 * p - k) // s + 1,), k),
    },
)

# 9.2 ---------------------------------------------------------------------------------------------


def _account(spikes: Tensor, mask: Tensor, fan_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    passed = spikes * mask
    rows = spikes.shape[0] * spikes.shape[1]
    return spikes.sum() / rows, passed.sum() / rows, (passed * fan_out).sum() / rows


def _spikes(seed: int, steps: int, images: int, neurons: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = seeded(seed)
    spikes = (torch.rand(steps, images, neurons, generator=draw) < 0.4).float()
    mask = (torch.rand(steps, images, neurons, generator=draw) < 0.3).float()
    return spikes, mask, torch.randint(1, 9, (neurons,), generator=draw).float()


def _scaled(factor: str) -> object:
    def wrong(spikes: Tensor, mask: Tensor, fan_out: Tensor) -> tuple[Tensor, ...]:
        steps, images, neurons = spikes.shape
        times = {"T": steps, "B": images, "TB": steps * images, "N": 1 / neurons}[factor]
        return tuple(times * value for value in _account(spikes, mask, fan_out))

    return wrong


ACCOUNT = Exercise(
    "9.2",
    "emitted, delivered, and what they cause",
    right=_account,
    cases=lambda: [_spikes(1, 8, 3, 20), _spikes(2, 5, 4, 12), _spikes(3, 6, 1, 30)],
    mistakes={
        "a masked spike was emitted all the same: count the emitted ones before the mask.": (
            lambda s, m, f: (_account(s, m, f)[1], *_account(s, m, f)[1:])
        ),
        "a masked spike causes no operation: let only the delivered ones meet their fan-out.": (
            lambda s, m, f: (*_account(s, m, f)[:2], _account(s, torch.ones_like(m), f)[2])
        ),
        "the mask is 1 where a spike is KEPT; you kept the others.": (
            lambda s, m, f: _account(s, 1 - m, f)
        ),
        "these are sums over all steps; an average step is asked: divide by T.": _scaled("T"),
        "these are sums over the images; one image is asked: divide by B.": _scaled("B"),
        "these are totals; divide by T and by B, for one image in an average step.": _scaled("TB"),
        "these are rates; one image has many neurons: divide by T and B, not by the neurons.": (
            _scaled("N")
        ),
        "each neuron has a fan-out of its own: multiply before you sum; the mean fan-out would "
        "only do if all neurons fired alike.": lambda s, m, f: (
            *_account(s, m, f)[:2],
            _account(s, m, f)[1] * f.mean(),
        ),
        "return emitted, delivered, operations, in this order.": lambda *x: _account(*x)[::-1],
    },
    tolerance=1e-3,
)

# 9.3 ---------------------------------------------------------------------------------------------


def _saving(share: float, p: float) -> float:
    return share * (1 - (1 - p) ** 2)


SAVING = Exercise(
    "9.3",
    "what masking Q and K saves in synaptic operations",
    right=_saving,
    cases=lambda: [(0.0156, 0.75), (0.3, 0.5), (1.0, 0.25), (0.5, 0.0)],
    mistakes={
        "an operation needs a spike of Q AND one of K, and either may be dropped: (1 − p)² are "
        "left, not 1 − p.": lambda share, p: share * p,
        "that is what is left; the saving is the rest.": lambda share, p: share * (1 - p) ** 2,
        "that is what is left of all operations; the saving is 1 minus it.": (
            lambda share, p: 1 - share * (1 - (1 - p) ** 2)
        ),
        "p² is the chance that BOTH are dropped; one is enough.": lambda share, p: share * p**2,
        "only a share of the operations are those of the product: multiply by it.": (
            lambda share, p: 1 - (1 - p) ** 2
        ),
        "this is in per cent; return a share between 0 and 1.": lambda *x: 100 * _saving(*x),
    },
    tolerance=1e-9,
)

# 9.4 ---------------------------------------------------------------------------------------------


def _break_even(steps: int, add: float, multiply: float) -> float:
    return (multiply * steps.bit_length() / 8 + add) / (steps * add)


def _with_bits(bits: object) -> object:
    return lambda T, add, multiply: (multiply * bits(T) / 8 + add) / (T * add)


BREAK_EVEN = Exercise(
    "9.4",
    "the firing rate at which spikes and numbers cost the same",
    right=_break_even,
    # Powers of two and one less, where ⌈log₂(T+1)⌉ and ⌈log₂ T⌉ part.
    cases=lambda: [(64, 0.1, 0.2), (4, 0.1, 0.2), (5, 0.03, 0.4), (255, 0.2, 0.2), (1, 0.1, 0.2)],
    mistakes={
        "a count after T steps is one of T + 1 values, 0 to T: the bits are ⌈log₂(T+1)⌉.": (
            _with_bits(lambda T: (T - 1).bit_length())
        ),
        "you forgot T: the spiking network pays at every one of its steps.": (
            lambda T, add, multiply: T * _break_even(T, add, multiply)
        ),
        "the price of a product falls with the bits: multiply·b/8 for b × 8 bits.": (
            _with_bits(lambda T: 8)
        ),
        "a number is multiplied AND added: its price is multiply·b/8 + add.": (
            lambda T, add, multiply: _break_even(T, add, multiply) - 1 / T
        ),
        "turned round: the rate is what numbers cost, over what T steps of certain spikes cost.": (
            lambda *x: 1 / _break_even(*x)
        ),
        "T steps do not need T bits: ⌈log₂(T+1)⌉ bits write any count up to T.": (
            _with_bits(lambda T: T)
        ),
        "a rate above 1 is an answer, too: then spikes win at any rate. Do not clip.": (
            lambda *x: min(1.0, _break_even(*x))
        ),
    },
    tolerance=1e-6,
)

EXERCISES = (FAN_OUT, ACCOUNT, SAVING, BREAK_EVEN)
