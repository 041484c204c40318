"""What is added to a loss: for silent neurons, and for answers unlike the teacher's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Self

import torch
from torch import Tensor, nn

from mstlib.models.swin import WindowAttention
from mstlib.models.watching import watching
from mstlib.qcfs import QCFS
from mstlib.train.recipes import Distillation


class _Penalty(AbstractContextManager):
    """What hooks make of each batch while a ``with`` block runs."""

    def __init__(self, hooks: Mapping[nn.Module, Callable], before: bool = False) -> None:
        self.terms: list[Tensor] = []
        self._watching = watching(hooks, before=before)

    def __enter__(self) -> Self:
        self._watching.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._watching.__exit__(*failure)


class Wake(_Penalty):
    """A penalty on attention neurons that no image of a batch brings near a spike.

    A neuron whose input is below zero for every image is lost: its gradient is zero too. The
    penalty asks of each neuron of Q, K, V and the projection that *some* image of the batch drives
    it to a tenth of its threshold, which is little enough not to disturb a neuron that is at work.

    Args:
        model: The network to watch while the ``with`` block runs.
    """

    def __init__(self, model: nn.Module) -> None:
        nodes = (
            node
            for module in model.modules()
            if isinstance(module, WindowAttention)
            for node in (module.q_if, module.k_if, module.v_if, module.proj_if)
        )
        super().__init__(dict.fromkeys(nodes, self._watch), before=True)

    def _watch(self, node: QCFS, inputs: tuple[Tensor]) -> None:
        if node.training:
            missing = 0.1 * node.threshold.detach() - inputs[0].amax(0)
            self.terms.append(missing.relu().mean())

    def collect(self) -> Tensor:
        """Return the penalty of the batch that was just run, and forget it."""
        terms, self.terms = self.terms, []
        return torch.stack(terms).mean() if terms else torch.zeros(())


class Attention(_Penalty):
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
        wanted = {ours.softmax: self._want for ours, _ in pairs}
        super().__init__(wanted | {theirs.softmax: self._compare for _, theirs in pairs})

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


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return τ²·KL(teacher ‖ student) of two sets of logits, the mean over images.

    Args:
        student: Logits ``(B, classes)``.
        teacher: Logits ``(B, classes)``.
        temperature: τ; the factor τ² keeps the gradient's size, whatever it is.
    """
    logits = (x.div(temperature).log_softmax(-1) for x in (student, teacher))
    return temperature**2 * nn.functional.kl_div(*logits, reduction="batchmean", log_target=True)


@contextmanager
def distillation(
    teacher: nn.Module,
    student: nn.Module,
    how: Distillation,
    smoothing: float = 0.0,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[Callable[[nn.Module, Tensor, Tensor], Tensor]]:
    """Give the loss of a masked student while a ``with`` block runs.

    It is (1 − w)·cross-entropy + w·τ²·KL(teacher ‖ student), with both logits divided by the
    temperature τ (Hinton et al. 2015), and the penalty of `Attention` where one is asked for.

    Args:
        teacher: The unmasked network.
        student: Its masked copy.
        how: Its ``draws``, ``share`` w, ``temperature`` τ and ``content`` decide.
        smoothing: Label smoothing.
        autocast: Gives a context to run the teacher in.

    Yields:
        The loss, called with the student (or what wraps it), images, and labels or their shares.

    Raises:
        ValueError: as `Attention` does.
    """
    with Attention(teacher, student, how.draws) if how.content else nullcontext() as watch:

        def loss(student: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
            with torch.no_grad(), autocast():
                wanted = teacher(images)
            answers = student(images.repeat(how.draws, 1, 1, 1))
            answer = answers.view(how.draws, len(images), -1).mean(0)
            right = nn.functional.cross_entropy(answer, targets, label_smoothing=smoothing)
            alike = divergence(answer, wanted.to(answer.dtype), how.temperature)
            value = (1 - how.share) * right + how.share * alike
            return value if watch is None else value + how.content * watch.collect()

        yield loss
