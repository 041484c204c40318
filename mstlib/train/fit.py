"""The loop over epochs, its state on disk, and the accuracy of what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mstlib.masking import RandomSpikeMask
from mstlib.train.images import Batches
from mstlib.train.penalties import Wake

Loss = Callable[[Tensor, Tensor], Tensor]  # of images and labels


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
    optimiser = _optimiser(model, rate, weight_decay)
    steps = epochs * batches_an_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    path = None if state is None else part_file(state, part)
    moving = {"model": model, "optimiser": optimiser, "schedule": schedule}
    losses = _resume(path, moving)
    cross_entropy = nn.CrossEntropyLoss(label_smoothing=smoothing)
    loss_of = loss or (lambda images, labels: cross_entropy(model(images), labels))
    masks = [m for m in model.modules() if isinstance(m, RandomSpikeMask)]
    with Wake(model) if wake > 0 else nullcontext() as penalty:
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
            _keep(path, moving, losses)
    model.eval()
    return losses


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


def _optimiser(model: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW, with its weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay)


def _bar(batches: Iterable, size: int, label: str, show: bool) -> Iterable:
    if not show:
        return batches
    from tqdm import tqdm

    return tqdm(batches, label, size, leave=False)


def _keep(path: Path | None, moving: dict[str, Any], losses: list[float]) -> None:
    """Write the state of one part of a training, whole or not at all."""
    if path is None:
        return
    state = {name: each.state_dict() for name, each in moving.items()}
    state |= {"losses": losses, "random": torch.get_rng_state()}  # QCFS's spread draws from it
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path | None, moving: dict[str, Any]) -> list[float]:
    """Go back to the state of one part of a training, if there is one; return its losses."""
    if path is None or not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    for name, each in moving.items():
        each.load_state_dict(state[name])
    torch.set_rng_state(state["random"])
    return state["losses"]


def part_file(state: Path, part: str) -> Path:
    """Return the file of one part of a training."""
    return state.with_suffix(f".{part}.pt")
