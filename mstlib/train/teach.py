"""Train a network with QCFS activations: ReLU first, thresholds from its activations, then QCFS.

QCFS from scratch starts blind: with θ far above the activations every output rounds to zero and no
gradient finds its way (the attention scores die first). So a recipe has three parts: train with
ReLU, set each θ to a high percentile of what its ReLU put out, and go on training with QCFS.

A masked network starts from the unmasked one and learns from it (`distil`).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from mstlib.masking import set_masking
from mstlib.models.build import build
from mstlib.models.lesions import lesion
from mstlib.models.swin import WindowAttention
from mstlib.train.fit import fit, part_file
from mstlib.train.images import batches_of, draw, image_seed
from mstlib.train.penalties import distillation
from mstlib.train.recipes import RECIPES, Distillation, Recipe
from mstlib.train.thresholds import activations, calibrate, positive_thresholds


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
    batches = batches_of(recipe, seed)
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
        images, _ = draw(recipe, "train", 512, image_seed(seed, 10**6))
        calibrate(model, images, recipe.levels, recipe.percentile)
    for node in activations(model):
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
            part_file(state, part).unlink(missing_ok=True)
    return model.eval()


def distil(
    teacher: nn.Module,
    recipe: Distillation,
    seed: int = 0,
    *,
    state: Path | None = None,
    progress: bool = False,
) -> nn.Module:
    """Fine-tune a masked copy of a network so that it answers as the network itself does (§4.3).

    The loss is that of `distillation`. Masks act in training as they will in inference: entries
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
    for node in activations(student):
        node.spread = base.spread
    set_masking(student, recipe.masking, seed)
    batches = batches_of(base, seed)
    offset = base.relu_epochs + base.qcfs_epochs  # other images than the teacher's
    with (
        distillation(teacher, student, recipe, base.smoothing) as loss,
        lesion(student, recipe.lesion),
        positive_thresholds(student, base.score_cap),
    ):
        fit(
            student,
            lambda epoch: batches(epoch + offset),
            recipe.epochs,
            base.images // base.batch_size,
            recipe.rate,
            part="distil",
            loss=partial(loss, student),
            weight_decay=base.weight_decay,
            wake=base.wake,
            state=state,
            progress=progress,
        )
    set_masking(student, None)
    student.trained_masking = recipe.masking or None
    if state is not None:
        part_file(state, "distil").unlink(missing_ok=True)
    return student.eval()
