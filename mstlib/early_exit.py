"""Stop when the answer is settled: an image takes as many time steps as it needs, and no more.

The logits of each step are evidence, and they add up. Once the class in front leads the next by
enough of it, further steps would hardly change the answer: a sequential test, as statisticians
have known it since Wald (1945). How much is enough is chosen on training images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Confidence:
    """The rule by which an image is done: its best class leads by a margin of evidence.

    Attributes:
        margin: The lead, in *summed* logits (their mean times the steps taken), of the best class
            over the second at which an image stops.
        every: Steps between two looks at the evidence.

    Raises:
        ValueError: a margin that is not finite and positive, or `every` no whole number >= 1.
    """

    margin: float
    every: int = 4

    def __post_init__(self) -> None:
        real = isinstance(self.margin, int | float) and math.isfinite(self.margin)
        if not real or self.margin <= 0:
            raise ValueError(f"the margin must be finite and > 0, not {self.margin!r}")
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every must be a whole number >= 1, not {self.every!r}")

    def settled(self, evidence: Tensor) -> Tensor:
        """Tell which answers are settled: summed logits ``(..., classes)`` to bool ``(...)``."""
        return lead(evidence) >= self.margin

    def steps(self, logits: Tensor) -> Tensor:
        """Return the steps that each image of a whole run would have taken.

        Args:
            logits: ``(T, B, classes)``, of every step.

        Returns:
            ``(B,)``, between 1 and T; T for an image that never settles.
        """
        looks = _looks(len(logits), self.every)
        settled = self.settled(logits.cumsum(0)[looks])
        settled[-1] = True
        return (looks + 1)[settled.int().argmax(0)]


def lead(evidence: Tensor) -> Tensor:
    """Return the lead of the best class over the second: ``(..., classes)`` to ``(...)``."""
    if evidence.shape[-1] < 2:
        raise ValueError("a lead needs two classes or more")
    best = evidence.topk(2, -1).values
    return best[..., 0] - best[..., 1]


def choose(logits: Tensor, labels: Tensor, every: int = 4, lost: float = 0.0) -> Confidence:
    """Choose the smallest margin that loses no more than a share of the right answers.

    Do it on training images, and report on others.

    Args:
        logits: ``(T, B, classes)``, of every step of a whole run.
        labels: ``(B,)`` true classes.
        every: Steps between two looks.
        lost: How much of the accuracy after T steps may be lost, between 0 and 1.

    Returns:
        A `Confidence`. Its margin is the least of a ladder with steps of 10 % at which this, and
        every larger margin, keeps the accuracy.

    Raises:
        ValueError: `lost` outside [0, 1], or labels that do not fit the logits.
    """
    if not 0 <= lost <= 1:
        raise ValueError(f"lost must be in [0, 1], not {lost!r}")
    if labels.shape != logits.shape[1:2]:
        raise ValueError(f"labels must be ({logits.shape[1]},), not {tuple(labels.shape)}")
    evidence = logits.cumsum(0)
    right = evidence.argmax(-1) == labels  # (T, B)
    leads = lead(evidence[_looks(len(logits), every)])
    allowed = float(right[-1].double().mean()) - lost
    margin = max(float(leads.max()), 1e-6) * 1.1  # nobody stops early
    while margin / 1.1 > leads.min().clamp(min=1e-6):
        steps = Confidence(margin / 1.1, every).steps(logits)
        if float(right.gather(0, steps[None] - 1).double().mean()) < allowed:
            break
        margin /= 1.1
    return Confidence(margin, every)


def _looks(steps: int, every: int) -> Tensor:
    """Return the steps, counted from 0, after which there is a look: and the last one."""
    return torch.tensor(sorted({*range(every - 1, steps, every), steps - 1}))
