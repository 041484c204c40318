"""Penalties that keep attention alive: silent neurons, and attention unlike the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mstlib.models.swin import WindowAttention
from mstlib.qcfs import QCFS


class Wake:
    """A penalty on attention neurons that no image of a batch brings near a spike.

    A neuron whose input is below zero for every image is lost: its gradient is zero too. The
    penalty asks of each neuron of Q, K, V and the projection that *some* image of the batch drives
    it to a tenth of its threshold, which is little enough not to disturb a neuron that is at work.

    Args:
        model: The network to watch, until `remove`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.terms: list[Tensor] = []
        self.handles = [
            node.register_forward_pre_hook(self._watch)
            for module in model.modules()
            if isinstance(module, WindowAttention)
            for node in (module.q_if, module.k_if, module.v_if, module.proj_if)
        ]

    def _watch(self, node: QCFS, inputs: tuple[Tensor]) -> None:
        if node.training:
            missing = 0.1 * node.threshold.detach() - inputs[0].amax(0)
            self.terms.append(missing.relu().mean())

    def collect(self) -> Tensor:
        """Return the penalty of the batch that was just run, and forget it."""
        terms, self.terms = self.terms, []
        return torch.stack(terms).mean() if terms else torch.zeros(())

    def remove(self) -> None:
        """Stop watching."""
        for handle in self.handles:
            handle.remove()


class Attention:
    """How far the attention of a masked student is from its teacher's, for a penalty on it.

    The student's weights of V, the mean of them over its draws of masks, are compared with the
    teacher's by KL(teacher ‖ student) for every query: content that the masks make hard to send
    must still be sent.

    Args:
        teacher: The unmasked network, with softmax attention.
        student: Its masked copy.
        draws: Masks drawn for each image.

    Raises:
        ValueError: there is no softmax attention in the network.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, draws: int) -> None:
        pairs = [
            (ours, theirs)
            for ours, theirs in zip(teacher.modules(), student.modules(), strict=True)
            if isinstance(ours, WindowAttention) and ours.softmax is not None
        ]
        if not pairs:
            raise ValueError("this network has no softmax attention to keep")
        self.draws = draws
        self.wanted: list[Tensor] = []
        self.terms: list[Tensor] = []
        self.handles = []
        for ours, theirs in pairs:
            self.handles.append(ours.softmax.register_forward_hook(self._want))
            self.handles.append(theirs.softmax.register_forward_hook(self._compare))

    def _want(self, module: nn.Module, inputs: tuple[Tensor], weights: Tensor) -> None:
        self.wanted.append(weights)

    def _compare(self, module: nn.Module, inputs: tuple[Tensor], weights: Tensor) -> None:
        if len(self.terms) == len(self.wanted):
            return  # the student runs alone: it is being measured
        wanted = self.wanted[len(self.terms)]
        mean = weights.view(self.draws, *wanted.shape).mean(0)
        mean = mean.clamp(min=1e-9)  # 0 log 0 has a value, but its gradient has none
        gap = torch.special.xlogy(wanted, wanted) - torch.special.xlogy(wanted, mean)
        self.terms.append(gap.sum(-1).mean())

    def collect(self) -> Tensor:
        """Return the mean over the layers for the batch that was just run, and forget it."""
        terms, self.terms, self.wanted = self.terms, [], []
        return torch.stack(terms).mean()

    def remove(self) -> None:
        """Stop watching."""
        for handle in self.handles:
            handle.remove()


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return τ²·KL(teacher ‖ student) of two sets of logits, the mean over images.

    Args:
        student: Logits ``(B, classes)``.
        teacher: Logits ``(B, classes)``.
        temperature: τ; the factor τ² keeps the gradient's size, whatever it is.
    """
    logits = (x.div(temperature).log_softmax(-1) for x in (student, teacher))
    return temperature**2 * nn.functional.kl_div(*logits, reduction="batchmean", log_target=True)
