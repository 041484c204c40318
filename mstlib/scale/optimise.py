"""What timm makes of a recipe: the optimiser, its schedule, and mixed images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mstlib.scale.recipe import RecipeError, ScaleRecipe


def optimiser(model: nn.Module, recipe: ScaleRecipe, rate: float) -> torch.optim.Optimizer:
    """Make a recipe's optimiser; vectors, scalars and position biases are not decayed.

    Args:
        model: The network.
        recipe: Its ``optimiser`` is used.
        rate: A phase's factor of the rate.

    Raises:
        RecipeError: timm has no optimiser of that name, or one that needs second derivatives.
    """
    from timm.optim import create_optimizer_v2, param_groups_weight_decay

    how = recipe.optimiser

    def groups(model: nn.Module) -> list[dict[str, Any]]:
        names = ["*relative_position_bias_table"]  # vectors and scalars have none anyway
        return param_groups_weight_decay(model, how.weight_decay, no_weight_decay_list=names)

    try:
        made = create_optimizer_v2(
            model, how.name, how.rate * rate, how.weight_decay, param_group_fn=groups
        )
    except (AssertionError, ValueError) as trouble:
        raise RecipeError(f"optimiser.name {how.name!r} is none of timm's: {trouble}") from None
    if getattr(made, "is_second_order", False):
        raise RecipeError(
            f"optimiser.name {how.name!r} needs second derivatives, which are not computed here"
        )
    return made


def schedule(
    optimiser: torch.optim.Optimizer, recipe: ScaleRecipe, rate: float, updates: int
) -> Any:
    """Make a recipe's schedule, one of timm's, counted in updates.

    Args:
        optimiser: Whose rate it sets.
        recipe: Its ``schedule`` is used.
        rate: A phase's factor of the rate.
        updates: Of the phase.

    Raises:
        RecipeError: timm has no schedule of that name, or it gives no rate for each update.
    """
    from timm.scheduler import create_scheduler_v2

    how, rate = recipe.schedule, recipe.optimiser.rate * rate
    if how.name in ("none", "plateau"):  # timm's, but no function of the update
        raise RecipeError(
            f"schedule.name {how.name!r} gives no rate for each update; name one that does, as "
            "cosine or step"
        )
    try:
        made, _ = create_scheduler_v2(
            optimiser,
            how.name,
            num_epochs=updates,  # counted in updates throughout
            warmup_epochs=int(how.warmup * updates),
            warmup_lr=how.first * rate,
            min_lr=how.last * rate,
            step_on_epochs=False,
            updates_per_epoch=1,
        )
    except ValueError as trouble:
        raise RecipeError(f"schedule.name {how.name!r} is none of timm's: {trouble}") from None
    return made


def mixup(recipe: ScaleRecipe, part: int) -> Any:
    """Make what mixes images and their labels, timm's, or ``None`` if a recipe mixes none.

    Args:
        recipe: Its ``augment`` is used.
        part: Images that a process works on at once.

    Raises:
        RecipeError: they cannot be paired.
    """
    how = recipe.augment
    if not how.mixup and not how.cutmix:
        return None
    if part % 2:
        raise RecipeError(
            f"mixup pairs the images of a part, and {part} cannot be paired: change batch.images, "
            "or set augment.mixup=0 and augment.cutmix=0"
        )
    from timm.data import Mixup

    return Mixup(
        how.mixup,
        how.cutmix,
        label_smoothing=how.smoothing,
        num_classes=recipe.config()["classes"],
    )
