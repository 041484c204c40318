"""Train a network at full scale, or a masked student of one: on one device or on many.

The engine is Hugging Face's Accelerate: the same code runs on a processor, on a GPU and, under its
launcher or PyTorch's, on many of them, with mixed precision and gradient accumulation. Lightning
Fabric does as much, but it brings nine packages and Accelerate one: timm, which the networks are
built on, has already brought the rest.

A moving average of the weights, which many recipes keep, is not kept here: on digits, from three
seeds, it made the networks no more accurate, neither before conversion nor after it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mstlib.checkpoints.state_dicts import fingerprint
from mstlib.masking import Masking, RandomSpikeMask, set_masking
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.qcfs import QCFS
from mstlib.scale import state
from mstlib.scale.batches import examples, living_workers, number
from mstlib.scale.depth import stochastic_depth
from mstlib.scale.loop import Phase, Training, TrainingError
from mstlib.scale.metrics import Metrics
from mstlib.scale.norms import shared
from mstlib.scale.recipe import RecipeError, ScaleRecipe
from mstlib.scale.setting import Setting
from mstlib.scale.start import measure_statistics, start, swin_weights
from mstlib.train import distillation, initialise, positive_thresholds

if TYPE_CHECKING:
    from accelerate import Accelerator


def train(recipe: ScaleRecipe, setting: Setting) -> MaskedSpikingTransformer:
    """Train a network as a recipe says, or go on with a training that was interrupted.

    Called by every process of ``torchrun`` or ``accelerate launch``, or by one alone. (The latter
    starts many on GPUs only.)

    Args:
        recipe: What to do.
        setting: Where, on what and how.

    Returns:
        The network, with QCFS activations, in evaluation mode, on the processor.

    Raises:
        DataNotFound: the data set is to be downloaded first.
        RecipeError: the recipe does not fit the data or the number of processes.
        SampleError: a sample cannot be read, or a process that loads them died.
        StateError: the folder cannot hold the states or metrics, holds another training's, or
            another process is training there.
        TrainingError: the loss, a weight or a threshold is not finite, or another process ended.
    """
    with _training(recipe, setting, {}) as (training, metrics):
        torch.manual_seed(number("weights", setting.seed))
        model = _build(recipe)
        fresh = training.saved is None
        device = training.engine.device
        images = examples(training.plain, recipe.qcfs.images, setting.seed)[0]
        images = images.to(device, torch.get_default_dtype())
        if fresh and recipe.start != "none":
            training.say(f"from {recipe.start}:\n{start(model, swin_weights(recipe.start))}")
        model.to(device)
        if fresh and recipe.start != "none":
            measure_statistics(model, images)
        if training.main:
            state.rehearse(training.path, model)
        thresholds = [m for m in model.modules() if isinstance(m, QCFS)]
        relu_updates = training.updates(recipe.relu.epochs)
        relu_epochs = -(-relu_updates // training.plan.updates)
        with shared(model), stochastic_depth(model, recipe.stochastic_depth):
            if fresh or training.saved["phase"] == "relu":
                for node in thresholds:  # ReLU has none to learn
                    node.threshold.requires_grad_(False)
                phase = Phase("relu", relu_updates, recipe.relu.rate, 0, _cross_entropy)
                training.run(model, phase, metrics)
                for node in thresholds:
                    node.threshold.requires_grad_(True)
                training.calibrate(model, images, phase)
            for node in thresholds:
                node.levels, node.spread = recipe.qcfs.levels, recipe.qcfs.spread
            with positive_thresholds(model, recipe.qcfs.score_cap):
                if training.saved is None:
                    training.keep(model, "qcfs", 0, metrics)
                updates = training.updates(recipe.qcfs.epochs)
                phase = Phase("qcfs", updates, recipe.qcfs.rate, relu_epochs, _cross_entropy)
                training.run(model, phase, metrics)
    model.config = replace(model.config, levels=recipe.qcfs.levels)
    return _finished(model)


def distil(
    recipe: ScaleRecipe, teacher: MaskedSpikingTransformer, masking: Masking, setting: Setting
) -> MaskedSpikingTransformer:
    """Train a masked copy of a network to answer as the network itself does (§4.3).

    The loss is that of `mstlib.train.distillation`. Each image of an update has its own masks,
    whichever process works on it.

    Args:
        recipe: What to do.
        teacher: A trained QCFS network; left as it is.
        masking: The student's; an empty one makes the control.
        setting: Where, on what and how.

    Returns:
        The student, in evaluation mode, on the processor, without masks but with `trained_masking`.

    Raises:
        ValueError: the teacher has other images or classes, no levels, or no such masks.
        DataNotFound, RecipeError, SampleError, StateError, TrainingError: as for `train`.
    """
    _check_teacher(recipe, teacher)
    how = recipe.distil
    more = {"teacher": fingerprint(teacher), "masking": repr(masking)}
    with _training(recipe, setting, more) as (training, metrics):
        device = training.engine.device
        teacher = copy.deepcopy(teacher).to(device).eval().requires_grad_(False)
        student = copy.deepcopy(teacher).requires_grad_(True)
        if training.main:
            state.rehearse(training.path, student)
        for node in student.modules():
            if isinstance(node, QCFS):
                node.spread = recipe.qcfs.spread
        set_masking(student, masking, setting.seed)
        epochs = recipe.relu.epochs + recipe.qcfs.epochs  # other images than the teacher's
        with (
            distillation(teacher, student, how, autocast=training.engine.autocast) as loss,
            shared(student),
            stochastic_depth(student, recipe.stochastic_depth),
            positive_thresholds(student, recipe.qcfs.score_cap),
        ):
            phase = Phase("distil", training.updates(how.epochs), how.rate, epochs, loss)
            training.run(student, phase, metrics)
    set_masking(student, None)
    student.trained_masking = masking or None
    return _finished(student)


@contextmanager
def _training(
    recipe: ScaleRecipe, setting: Setting, more: dict[str, Any]
) -> Iterator[tuple[Training, Metrics | None]]:
    """Open all that a training needs: engine, folder, data, state and, in one process, metrics."""
    with ExitStack() as stack:
        engine = stack.enter_context(_engine(recipe, setting.precision))
        if engine.is_main_process:
            try:
                setting.out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(state.alone(setting.out))
            except state.StateError:
                raise
            except OSError as trouble:
                raise state.StateError(
                    f"the folder {setting.out} cannot be written to ({trouble}); nothing was "
                    "trained yet"
                ) from None
        training = Training(engine, recipe, setting, more)
        metrics = None
        if engine.is_main_process:
            length = training.saved["metrics"] if training.saved else 0
            metrics = stack.enter_context(Metrics(setting.out, length, setting.tensorboard))
        yield training, metrics


@contextmanager
def _engine(recipe: ScaleRecipe, precision: str) -> Iterator[Accelerator]:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState
    from accelerate.utils import GradientAccumulationPlugin

    on_processor = not torch.accelerator.is_available()
    if on_processor and precision == "fp16":
        raise ValueError('precision "fp16" needs a GPU; on a processor choose "bf16" or "no"')
    try:
        engine = Accelerator(
            cpu=on_processor,  # or many processes would each train alone
            mixed_precision=precision,
            # As a number, a variable of the environment would have the last word.
            gradient_accumulation_plugin=GradientAccumulationPlugin(recipe.batch.accumulation),
        )
        with living_workers():  # PyTorch tells of a worker's death wherever the process just is
            yield engine
    except RuntimeError as trouble:
        if "closed by peer" not in str(trouble) and "reset by peer" not in str(trouble):
            raise
        raise TrainingError(
            "another process of this training has ended; its own message says why"
        ) from trouble
    finally:
        # Another training of this process may choose another precision. The processes stay
        # connected: they would not find each other again while some still close the connection.
        AcceleratorState._reset_state()
        GradientState._reset_state()


def _build(recipe: ScaleRecipe) -> MaskedSpikingTransformer:
    model = MaskedSpikingTransformer(SwinConfig(**recipe.config()))
    if recipe.start == "none":
        initialise(model)
    return model


def _finished(model: MaskedSpikingTransformer) -> MaskedSpikingTransformer:
    for node in model.modules():
        if isinstance(node, QCFS):
            node.spread = 0.0
        elif isinstance(node, RandomSpikeMask):
            node.begin(range(1), range(0))  # it counts the images of any batch again
    return model.cpu().eval()


def _check_teacher(recipe: ScaleRecipe, teacher: nn.Module) -> None:
    wanted, config = recipe.config(), getattr(teacher, "config", None)
    if not isinstance(config, SwinConfig) or config.levels is None:
        raise ValueError("a teacher is a Masked Spiking Transformer with QCFS activations")
    for name in ("image_size", "in_channels", "classes"):
        if getattr(config, name) != wanted[name]:
            raise RecipeError(
                f"the teacher's {name} is {getattr(config, name)} and the recipe's {wanted[name]}"
            )
    if teacher.trained_masking is not None:
        raise ValueError(f"a teacher has no masks, and this one has {teacher.trained_masking}")


def _cross_entropy(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(images), targets)
