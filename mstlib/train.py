"""Train a network with QCFS activations: ReLU first, thresholds from its activations, then QCFS.

QCFS from scratch starts blind: with θ far above the activations every output rounds to zero and no
gradient finds its way (the attention scores die first). So a recipe has three parts: train with
ReLU, set each θ to a high percentile of what its ReLU put out, and go on training with QCFS.

A masked network starts from the unmasked one and learns from it (`distil`).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mstlib import data
from mstlib.data.events import moving
from mstlib.data.events.frames import summed
from mstlib.lesions import lesion
from mstlib.masking import Masking, RandomSpikeMask, set_masking
from mstlib.models.build import build
from mstlib.models.swin import WindowAttention
from mstlib.qcfs import QCFS

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
Loss = Callable[[Tensor, Tensor], Tensor]  # of images and labels


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of a shipped model, beside the code and the seed.

    Attributes:
        data: Name of the data set.
        model: Fields of `SwinConfig` that differ from its defaults, or of `ConvConfig` where one of
            them is ``network`` (see `mstlib.models.build`).
        relu_epochs: Epochs with ReLU activations, at `relu_rate`.
        qcfs_epochs: Epochs with QCFS activations, at `qcfs_rate`.
        relu_rate: Highest learning rate of the first part (one cycle up and down).
        qcfs_rate: The same of the second part.
        images: Images an epoch; fresh ones, where the set is drawn on demand.
        batch_size: Images a step.
        levels: L of QCFS.
        percentile: Percentile of the ReLU outputs that becomes θ.
        spread: Width of the random rounding in the second part (see `QCFS`).
        score_cap: Upper limit of the θ of attention scores under softmax: a spike of size θ moves
            the softmax by e^θ, and one that saturates it cannot be averaged over time.
        smoothing: Label smoothing.
        weight_decay: AdamW's.
        wake: Weight of the penalty on silent attention neurons (see `Wake`).
        lesion: A lesion that lasts through the training (see `mstlib.lesions`), or ``None``.
        masking: Random spike masking during the second part, or ``None``.
    """

    data: str
    model: dict[str, object] = field(default_factory=dict)
    relu_epochs: int = 6
    qcfs_epochs: int = 3
    relu_rate: float = 2e-3
    qcfs_rate: float = 8e-4
    images: int = 8000
    batch_size: int = 64
    levels: int = 4
    percentile: float = 99.0
    spread: float = 1.0
    score_cap: float = 4.0
    smoothing: float = 0.05
    weight_decay: float = 0.01
    wake: float = 0.01
    lesion: str | None = None
    masking: Masking | None = None


RECIPES = {
    "mst-digits": Recipe(
        "digits", {"in_channels": 1}, relu_epochs=16, qcfs_epochs=6, images=4000, levels=6
    ),
    "mst-scenes": Recipe("scenes", wake=0.1),
    "mst-cued-digits": Recipe(
        "cued-digits", relu_epochs=10, qcfs_epochs=6, levels=6, score_cap=2.0
    ),
    # mst-digits in all but its norms: chapter 3 shows what becomes of it in spikes.
    "layernorm-digits": Recipe(
        "digits",
        {"in_channels": 1, "norm": "layer"},
        relu_epochs=16,
        qcfs_epochs=6,
        images=4000,
        levels=6,
    ),
    # Frames of an event camera: 8 of them stacked, or summed up to one (see `_draw`).
    "mst-events": Recipe(
        "events-motion",
        {"in_channels": 16, "reduction": 3, "classes": 8},
        relu_epochs=12,
        qcfs_epochs=8,
        levels=6,
        wake=0.1,
    ),
    "mst-events-summed": Recipe(
        "events-motion",
        {"in_channels": 2, "reduction": 3, "classes": 8},
        relu_epochs=8,
        qcfs_epochs=5,
        images=4000,
        levels=6,
        wake=0.1,
    ),
    "mst-events-digits": Recipe(
        "events-digits",
        {"in_channels": 16, "reduction": 3},
        relu_epochs=10,
        qcfs_epochs=6,
        images=2500,
        levels=6,
    ),
    "mst-events-digits-summed": Recipe(
        "events-digits",
        {"in_channels": 2, "reduction": 3},
        relu_epochs=10,
        qcfs_epochs=6,
        images=2500,
        levels=6,
    ),
    "resnet-digits": Recipe(
        "digits",
        {"network": "resnet18", "in_channels": 1, "width": 8, "deep_stem": True},
        relu_epochs=16,
        qcfs_epochs=6,
        images=4000,
        levels=6,
    ),
    "vgg-digits": Recipe(
        "digits",
        {"network": "vgg16", "in_channels": 1, "width": 8, "hidden": 64},
        relu_epochs=16,
        qcfs_epochs=6,
        images=4000,
        levels=6,
    ),
}


class Positive(nn.Module):
    """A positive number, learned through its logarithm, with an upper limit.

    A number that starts above the limit stays at it: there is no gradient beyond.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, log: Tensor) -> Tensor:
        """From the learned logarithm to the number."""
        return log.exp().clamp(max=self.limit)

    def right_inverse(self, value: Tensor) -> Tensor:
        """From the number to its logarithm."""
        return value.log()


def train(
    recipe: Recipe,
    seed: int = 0,
    *,
    state: Path | None = None,
    progress: bool = False,
) -> nn.Module:
    """Follow a recipe from random weights to a trained QCFS network.

    Args:
        recipe: What to do.
        seed: Decides the first weights, the images and their order.
        state: File in which to keep the state after every epoch (one for each part of the
            training, by their suffix). If it exists, training goes on from it and ends at the same
            weights; it is removed at the end.
        progress: Show a progress bar.

    Returns:
        The network, in evaluation mode.
    """
    torch.manual_seed(seed)
    model = build(recipe.model | {"levels": None})
    initialise(model)
    batches = _batches(recipe, seed)
    size = recipe.images // recipe.batch_size
    common = {
        "smoothing": recipe.smoothing,
        "weight_decay": recipe.weight_decay,
        "wake": recipe.wake,
        "progress": progress,
        "state": state,
    }
    with lesion(model, recipe.lesion):
        fit(model, batches, recipe.relu_epochs, size, recipe.relu_rate, part="ReLU", **common)
        images, _ = _draw(recipe, "train", 512, _image_seed(seed, 10**6))
        calibrate(model, images, recipe.levels, recipe.percentile)
    for node in _nodes(model):
        node.spread = recipe.spread
    set_masking(model, recipe.masking, seed)
    with lesion(model, recipe.lesion), positive_thresholds(model, recipe.score_cap):
        offset = recipe.relu_epochs
        fit(
            model,
            lambda epoch: batches(epoch + offset),
            recipe.qcfs_epochs,
            size,
            recipe.qcfs_rate,
            part="QCFS",
            **common,
        )
    set_masking(model, None)
    model.config = replace(model.config, levels=recipe.levels)
    model.trained_masking = recipe.masking
    if state is not None:
        for part in ("ReLU", "QCFS"):
            _part(state, part).unlink(missing_ok=True)
    return model.eval()


@dataclass(frozen=True)
class Distillation:
    """How a masked student learns from its unmasked teacher (§4.3): all but the seed.

    Attributes:
        teacher: Name of the shipped model that teaches; its recipe says on which data.
        masking: The student's; an empty one makes the control that a masked student is judged by.
        epochs: Epochs of as many images as in the teacher's recipe.
        rate: Highest learning rate (one cycle up and down).
        temperature: Divides the logits of both before they are compared.
        share: Share of the teacher's answers in the loss; the rest is for the labels.
        draws: Masks drawn for each image; the student is judged by its mean logits, as the
            spiking network is, which draws a mask at every step.
        content: Weight of a penalty on attention that differs from the teacher's (see `Attention`).
        lesion: A lesion that lasts through the training (see `mstlib.lesions`), or ``None``.
    """

    teacher: str
    masking: Masking = field(default_factory=Masking)
    epochs: int = 4
    rate: float = 8e-4
    temperature: float = 2.0
    share: float = 0.5
    draws: int = 1
    content: float = 0.0
    lesion: str | None = None


# The masked students that are shipped, each beside the control: the same epochs without masks.
STUDENTS = {
    f"{teacher}-{name}": Distillation(teacher, masking, epochs)
    for teacher, epochs in (("mst-digits", 3), ("mst-scenes", 4))
    for name, masking in (
        ("control", Masking()),
        ("attention-50", Masking(attention=0.5)),
        ("attention-75", Masking(attention=0.75)),
        ("mlp-50", Masking(mlp=0.5)),
        ("mlp-75", Masking(mlp=0.75)),
    )
} | {
    f"{teacher}-{name}": Distillation(teacher, masking, epochs=3)
    for teacher in ("resnet-digits", "vgg-digits")
    for name, masking in (
        ("control", Masking()),
        ("conv-25", Masking(conv=0.25)),
        ("conv-50", Masking(conv=0.5)),
    )
}


def distil(
    teacher: nn.Module,
    recipe: Distillation,
    seed: int = 0,
    *,
    state: Path | None = None,
    progress: bool = False,
) -> nn.Module:
    """Fine-tune a masked copy of a network so that it answers as the network itself does (§4.3).

    The loss is (1 − w)·cross-entropy + w·τ²·KL(teacher ‖ student), with both logits divided by the
    temperature τ (Hinton et al. 2015). Masks act in training as they will in inference: entries
    become zero and nothing is rescaled.

    Args:
        teacher: A trained QCFS network without masks; left as it is.
        recipe: What to do; its `teacher` names the recipe of the data, levels and limits.
        seed: Decides the images, their order and the masks.
        state: File in which to keep the state after every epoch; training goes on from it.
        progress: Show a progress bar.

    Returns:
        The student, in evaluation mode, without masks but with `trained_masking` set.

    Raises:
        ValueError: no recipe of the teacher's name, fewer than one draw, a share outside [0, 1],
            a temperature that is not positive, or masks where the network has none.
    """
    if recipe.teacher not in RECIPES:
        raise ValueError(f"no recipe {recipe.teacher!r}; there are: {', '.join(RECIPES)}")
    if recipe.draws < 1 or not 0 <= recipe.share <= 1 or not recipe.temperature > 0:
        raise ValueError(
            "draws must be >= 1, share in [0, 1] and temperature > 0, not "
            f"{recipe.draws}, {recipe.share} and {recipe.temperature}"
        )
    base = RECIPES[recipe.teacher]
    torch.manual_seed(seed)
    teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_(True)
    for node in _nodes(student):
        node.spread = base.spread
    set_masking(student, recipe.masking, seed)
    watch = Attention(teacher, student, recipe.draws) if recipe.content else None

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher(images)
        answers = student(images.repeat(recipe.draws, 1, 1, 1))
        answer = answers.view(recipe.draws, len(images), -1).mean(0)
        value = (1 - recipe.share) * nn.functional.cross_entropy(
            answer, labels, label_smoothing=base.smoothing
        ) + recipe.share * divergence(answer, target, recipe.temperature)
        return value if watch is None else value + recipe.content * watch.collect()

    batches = _batches(base, seed)
    offset = base.relu_epochs + base.qcfs_epochs  # other images than the teacher's
    with lesion(student, recipe.lesion), positive_thresholds(student, base.score_cap):
        fit(
            student,
            lambda epoch: batches(epoch + offset),
            recipe.epochs,
            base.images // base.batch_size,
            recipe.rate,
            part="distil",
            loss=loss,
            weight_decay=base.weight_decay,
            wake=base.wake,
            state=state,
            progress=progress,
        )
    if watch is not None:
        watch.remove()
    set_masking(student, None)
    student.trained_masking = recipe.masking or None
    if state is not None:
        _part(state, "distil").unlink(missing_ok=True)
    return student.eval()


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return τ²·KL(teacher ‖ student) of two sets of logits, the mean over images.

    Args:
        student: Logits ``(B, classes)``.
        teacher: Logits ``(B, classes)``.
        temperature: τ; the factor τ² keeps the gradient's size, whatever it is.
    """
    logits = (x.div(temperature).log_softmax(-1) for x in (student, teacher))
    return temperature**2 * nn.functional.kl_div(*logits, reduction="batchmean", log_target=True)


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


def initialise(model: nn.Module) -> None:
    """Give linear layers Xavier weights, queries and keys half of that, and attention a bias.

    The authors' N(0, 0.02²) is made for LayerNorm before every layer; here it would leave the
    attention scores too small to reach the first threshold. The bias keeps the neurons of the
    attention above zero while they learn: one that never fires has no gradient to come back with.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, WindowAttention):
            with torch.no_grad():
                module.qkv.weight[: 2 * len(module.qkv.weight) // 3] *= 0.5
                module.qkv.bias.fill_(0.3)
                module.proj.bias.fill_(0.5)


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, levels: int, percentile: float = 99.0) -> None:
    """Turn ReLU activations into QCFS, with θ at a percentile of what each ReLU puts out.

    Args:
        model: A network whose `QCFS` have no levels yet.
        images: ``(B, channels, height, width)`` to measure on.
        levels: L to set.
        percentile: Between 0 and 100. The maximum (100) wastes levels on rare values; a low one
            clips common values.
    """
    nodes = _nodes(model)

    def measure(node: QCFS, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.flatten()
        rank = max(1, round(percentile / 100 * len(values)))
        node.threshold.fill_(max(float(values.kthvalue(rank).values), 1e-3))

    handles = [node.register_forward_hook(measure) for node in nodes]
    model.eval()
    model(images)
    for node, handle in zip(nodes, handles, strict=True):
        handle.remove()
        node.levels = levels


@contextmanager
def positive_thresholds(model: nn.Module, score_cap: float) -> Iterator[None]:
    """Learn thresholds through their logarithm while a ``with`` block runs, so that θ > 0 holds.

    Args:
        model: The network.
        score_cap: Upper limit of the θ of attention scores that enter a softmax.
    """
    nodes = _nodes(model)
    attentions = [m for m in model.modules() if isinstance(m, WindowAttention)]
    capped = {m.attn_if for m in attentions if m.softmax is not None}
    for node in nodes:
        limit = Positive(score_cap if node in capped else float("inf"))
        parametrize.register_parametrization(node, "threshold", limit)
    try:
        yield
    finally:
        for node in nodes:
            parametrize.remove_parametrizations(node, "threshold", leave_parametrized=True)


def fit(
    model: nn.Module,
    batches: Batches,
    epochs: int,
    batches_an_epoch: int,
    rate: float,
    *,
    part: str = "train",
    smoothing: float = 0.0,
    loss: Loss | None = None,
    weight_decay: float = 0.01,
    wake: float = 0.0,
    state: Path | None = None,
    progress: bool = False,
) -> list[float]:
    """Train with AdamW, one cycle of the learning rate, and gradients clipped to norm 1.

    Args:
        model: The network; trained in place.
        batches: Called with the number of the epoch; gives its ``(images, labels)`` batches, the
            same number each time.
        epochs: How many, at least one.
        batches_an_epoch: How many batches `batches` gives.
        rate: Highest learning rate.
        part: Name of this part of a training, for the progress bar and the state file.
        smoothing: Label smoothing.
        loss: Called with the images and labels of a batch, in place of the cross-entropy.
        weight_decay: AdamW's, on matrices only.
        wake: Weight of the penalty on silent attention neurons; 0 for none.
        state: File that holds the state after each epoch; an existing one is continued.
        progress: Show a progress bar.

    Returns:
        The mean loss of each epoch.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=epochs * batches_an_epoch
    )
    losses: list[float] = []
    path = None if state is None else _part(state, part)
    loaded = _load_state(path)
    if loaded is not None:
        model.load_state_dict(loaded["model"])
        optimiser.load_state_dict(loaded["optimiser"])
        schedule.load_state_dict(loaded["schedule"])
        losses = loaded["losses"]
        torch.set_rng_state(loaded["random"])
    cross_entropy = nn.CrossEntropyLoss(label_smoothing=smoothing)
    loss_of = loss or (lambda images, labels: cross_entropy(model(images), labels))
    penalty = Wake(model) if wake > 0 else None
    masks = [m for m in model.modules() if isinstance(m, RandomSpikeMask)]
    for epoch in range(len(losses), epochs):
        model.train()
        for mask in masks:  # a mask counts its calls as steps; a resumed one has not made them
            mask.begin(range(epoch * batches_an_epoch, epoch * batches_an_epoch + 1), range(0))
        total = 0.0
        label = f"{part} epoch {epoch + 1}/{epochs}"
        for images, labels in _bar(batches(epoch), batches_an_epoch, label, progress):
            value = loss_of(images, labels)
            if penalty is not None:
                value = value + wake * penalty.collect()
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(value.detach())
        losses.append(total / batches_an_epoch)
        _save_state(
            path,
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "losses": losses,
                "random": torch.get_rng_state(),  # QCFS's spread draws from it
            },
        )
    if penalty is not None:
        penalty.remove()
    model.eval()
    return losses


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


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 250) -> float:
    """Return the share of images that a network (not spiking) classifies right, in evaluation mode.

    Args:
        model: The network.
        images: ``(B, channels, height, width)``.
        labels: ``(B,)``.
        batch_size: Images at a time.
    """
    model.eval()
    parts = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    right = sum(int((model(x).argmax(-1) == y).sum()) for x, y in parts)
    return right / len(labels)


def _nodes(model: nn.Module) -> list[QCFS]:
    return [m for m in model.modules() if isinstance(m, QCFS)]


def _batches(recipe: Recipe, seed: int) -> Batches:
    """Make the function that gives the batches of an epoch, a function of seed and epoch alone."""

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = _draw(recipe, "train", recipe.images, _image_seed(seed, epoch))
        for first in range(0, recipe.images - recipe.batch_size + 1, recipe.batch_size):
            batch = slice(first, first + recipe.batch_size)
            yield images[batch], labels[batch]

    return batches


def _image_seed(seed: int, epoch: int) -> int:
    return 1 + 10**7 * seed + epoch


def _draw(recipe: Recipe, split: str, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw n training images: fresh boards, or a fixed set again and again, jittered.

    A network of two channels gets the frames of events summed up: one for each polarity.
    """
    if recipe.data != "digits":
        images, labels = data.load(recipe.data, split, n, seed=seed)
        if recipe.data in moving.SETS and recipe.model["in_channels"] == 2:
            images = summed(images.unflatten(1, (-1, 2)))
        return images, labels
    images, labels = data.load(recipe.data, split)
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(images), (n,), generator=generator)
    return jitter(images[pick], generator), labels[pick]


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, turn and scale images at random: up to 10 % of the side, 12 degrees and 12 %.

    Args:
        images: ``(B, channels, height, width)``.
        generator: Source of the random numbers.
    """
    b = len(images)
    u = torch.rand(4, b, generator=generator) * 2 - 1
    angle, scale = u[0] * torch.pi / 15, 1 + 0.12 * u[1]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    rows = torch.stack([cos, -sin, 0.2 * u[2], sin, cos, 0.2 * u[3]], 1).view(b, 2, 3)
    grid = nn.functional.affine_grid(rows, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _bar(batches: Iterable, size: int, label: str, show: bool) -> Iterable:
    if not show:
        return batches
    from tqdm import tqdm

    return tqdm(batches, label, size, leave=False)


def _save_state(path: Path | None, state: dict) -> None:
    """Write a state file whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _load_state(path: Path | None) -> dict | None:
    """Read the state of one part of a training, if there is one."""
    return None if path is None or not path.exists() else torch.load(path, weights_only=True)


def _part(state: Path, part: str) -> Path:
    return state.with_suffix(f".{part}.pt")
