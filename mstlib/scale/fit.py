"""The loop of a training at full scale: on one device or many, and after an interruption.

The engine is Hugging Face's Accelerate: the same loop runs on a processor, on a GPU and, under its
launcher or PyTorch's, on many of them, with mixed precision and gradient accumulation. Lightning
Fabric does as much, but it brings nine packages and Accelerate one: timm, which the networks are
built on, has already brought the rest. The data are not given to the engine. Which image an update
sees is a function of seed, epoch and index (see `mstlib.scale.batches`), and what is drawn in an
update (masks, random rounding, skipped branches, mixup) of seed, phase, update and process. So a
training that was interrupted needs no state of any random generator, and ends at the same bits.

A moving average of the weights, which many recipes keep, is not kept here: on digits, from three
seeds, it made the networks no more accurate, neither before conversion nor after it.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mstlib.data.standins import StandInWarning
from mstlib.masking import Masking, RandomSpikeMask, set_masking
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.qcfs import QCFS
from mstlib.scale import state
from mstlib.scale.batches import (
    Plan,
    examples,
    living_workers,
    load,
    number,
    open_source,
    seed_all,
)
from mstlib.scale.depth import stochastic_depth
from mstlib.scale.metrics import Metrics
from mstlib.scale.norms import shared
from mstlib.scale.recipe import RecipeError, ScaleRecipe
from mstlib.scale.start import measure_statistics, start, swin_weights
from mstlib.train import Attention, Wake, calibrate, divergence, initialise, positive_thresholds

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = ("no", "bf16", "fp16")
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # of the network, images and targets


class TrainingError(ValueError):
    """A training cannot go on; the message says why."""


@dataclass(frozen=True)
class Setting:
    """What a training is asked for beside its recipe.

    Attributes:
        out: Folder of its state, metrics and results.
        root: Folder of the data sets you download; see `mstlib.data.load`.
        seed: Decides the first weights, the order of the images and all that is drawn.
        precision: "no" for float32 throughout; "bf16" or "fp16" for matrix products in half
            precision. The floor of QCFS, norms' statistics and softmax stay in float32.
        tensorboard: Write for TensorBoard, too.
        progress: Show progress.
    """

    out: Path
    root: Path | None = None
    seed: int = 0
    precision: str = "no"
    tensorboard: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, not {self.precision!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be a whole number >= 0, not {self.seed}")


@dataclass(frozen=True)
class _Phase:
    """A part of a training with a schedule of its own."""

    name: str
    updates: int
    rate: float
    first_epoch: int  # its images are not those of another phase
    loss: Loss


class _Training:
    """A training in progress, in one of its processes."""

    def __init__(
        self, engine: Accelerator, recipe: ScaleRecipe, setting: Setting, more: dict[str, Any]
    ) -> None:
        self.engine, self.recipe, self.setting = engine, recipe, setting
        self.source = open_source(recipe, "train", setting.root, augment=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StandInWarning)  # told of the first already
            self.plain = open_source(recipe, "train", setting.root)
            test = open_source(recipe, "test", setting.root)
        rank, world = engine.process_index, engine.num_processes
        how = recipe.batch
        self.plan = Plan(len(self.source), how.images, how.accumulation, setting.seed, rank, world)
        self.watched = examples(test, recipe.keep.watched, share=slice(rank, None, world))
        self.mixup = _mixup(recipe, how.images // world // how.accumulation)
        self.path = setting.out / state.STATE
        self.identity = {
            **recipe.deciding(),
            **self.source.identity(),
            "seed": setting.seed,
            "precision": setting.precision,
            **more,
        }
        self.saved = state.read(self.path, self.identity)
        if self.saved and self.saved["processes"] != world:
            self.say(
                f"going on with {world} processes where there were {self.saved['processes']}: the "
                "result is as good, and not the same to the bit"
            )

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.engine.is_main_process

    def say(self, text: str) -> None:
        """Tell the reader, once."""
        if self.main and self.setting.progress:
            print(text, flush=True)

    def updates(self, epochs: int) -> int:
        """Updates of a phase of some epochs."""
        total = epochs * self.plan.updates
        return min(total, self.recipe.updates) if self.recipe.updates else total

    def run(self, model: nn.Module, phase: _Phase, metrics: Metrics | None) -> None:
        """Train in a phase, from its last state on if there is one."""
        engine, recipe = self.engine, self.recipe
        saved = self.saved if self.saved and self.saved["phase"] == phase.name else None
        self.saved = None
        if saved:
            model.load_state_dict(saved["model"])
        if not phase.updates:
            return
        model.to(engine.device)  # before the optimiser, whose state follows its parameters
        optimiser = _optimiser(model, recipe, phase.rate)
        schedule = _schedule(optimiser, recipe, phase)
        if saved and saved["optimiser"] is not None:
            optimiser.load_state_dict(saved["optimiser"])
        wrapped, prepared = engine.prepare(model, optimiser)
        if saved and engine.scaler is not None and saved["scaler"]:
            engine.scaler.load_state_dict(saved["scaler"])
        todo = range(saved["update"] if saved else 0, phase.updates)
        parts = load(self.source, self.plan, todo, phase.first_epoch, recipe.batch.workers)
        penalty = Wake(model) if recipe.qcfs.wake else None
        kept = time.monotonic()
        with closing(parts), _bar(phase, todo.start, self.main and self.setting.progress) as bar:
            for update in todo:
                began = time.monotonic()
                schedule.step_update(update)
                model.train()
                total = self._gradient(wrapped, phase, update, parts, penalty)
                norm = engine.clip_grad_norm_(wrapped.parameters(), recipe.optimiser.clip)
                prepared.step()
                prepared.zero_grad()
                loss = float(engine.reduce(total, "mean"))
                done = update + 1
                if not math.isfinite(loss):
                    raise self._blown_up(f"the loss is {loss}", phase, done)
                row = {
                    "phase": phase.name,
                    "update": done,
                    "epoch": phase.first_epoch + update // self.plan.updates,
                    "loss": loss,
                    "rate": optimiser.param_groups[0]["lr"],
                    "gradient": float(norm),
                }
                if phase.name != "relu":
                    thresholds = _thresholds(model)
                    if not _usable(thresholds):
                        raise self._blown_up("a threshold θ is 0, infinite or NaN", phase, done)
                    row["threshold"] = float(thresholds.mean())
                ends = done % self.plan.updates == 0 or done == phase.updates
                if ends:
                    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
                        raise self._blown_up("a weight is infinite or NaN", phase, done)
                    row["accuracy"] = self._watch(model)
                row["seconds"] = round(time.monotonic() - began, 3)
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()
                if metrics is None:
                    continue
                metrics.add(row)
                keep = recipe.keep
                waited = keep.minutes and time.monotonic() - kept > 60 * keep.minutes
                if ends or waited or (keep.updates and done % keep.updates == 0):
                    self.keep(model, phase.name, done, metrics, optimiser)
                    kept = time.monotonic()
        if penalty is not None:
            penalty.remove()
        engine.unwrap_model(wrapped, keep_fp32_wrapper=False)
        # Unwrapped, yet still marked: the next phase would be left without its precision.
        model.__dict__.pop("_is_accelerate_prepared", None)
        engine.free_memory()
        model.eval()

    def calibrate(self, model: nn.Module, images: Tensor, phase: _Phase) -> None:
        """Turn a network that was trained in a phase into QCFS (see `mstlib.train.calibrate`)."""
        how = self.recipe.qcfs
        calibrate(model, images, how.levels, how.percentile)
        if not _usable(_thresholds(model)):
            raise self._blown_up("an activation is infinite or NaN", phase, phase.updates)

    def _gradient(
        self,
        model: nn.Module,
        phase: _Phase,
        update: int,
        parts: Iterator[tuple[Tensor, Tensor, list[int]]],
        penalty: Wake | None,
    ) -> Tensor:
        """Add up the gradient of an update over its parts; return its loss in this process."""
        engine, recipe = self.engine, self.recipe
        total = torch.zeros((), device=engine.device)
        for part in range(self.plan.parts):
            images, labels, rows = next(parts)
            seed_all("update", self.setting.seed, phase.name, update, part, engine.process_index)
            with engine.accumulate(model):
                images, targets = self._targets(images, labels)
                _begin_masks(model, update, rows, self.plan.batch, recipe.distil.draws)
                value = phase.loss(model, images, targets)
                if penalty is not None:
                    value = value + recipe.qcfs.wake * penalty.collect()
                engine.backward(value)
                total = total + value.detach() / self.plan.parts
        return total

    def _blown_up(self, what: str, phase: _Phase, done: int) -> TrainingError:
        """Make the error of numbers that no training can go on from."""
        return TrainingError(
            f"{what} at update {done} of the phase {phase.name}; the last whole state is in "
            f"{self.path}. Try a smaller optimiser.rate in another folder"
        )

    def keep(
        self,
        model: nn.Module,
        phase: str,
        update: int,
        metrics: Metrics | None,
        optimiser: torch.optim.Optimizer | None = None,
    ) -> None:
        """Write the state (in the process that writes)."""
        if metrics is None:
            return
        scaler = self.engine.scaler
        content = {
            "identity": self.identity,
            "processes": self.engine.num_processes,
            "phase": phase,
            "update": update,
            "metrics": metrics.keep(),
            "model": model.state_dict(),
            "optimiser": None if optimiser is None else optimiser.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        state.write(self.path, content)

    def _targets(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a part to the device; mix its images and labels, or smooth the labels."""
        device = self.engine.device
        images = images.to(device, torch.get_default_dtype(), non_blocking=True)
        labels = labels.to(device)
        if self.mixup is not None:
            return self.mixup(images, labels)
        from timm.data.mixup import mixup_target

        classes, smoothing = self.recipe.config()["classes"], self.recipe.augment.smoothing
        return images, mixup_target(labels, classes, 1.0, smoothing)

    @torch.no_grad()
    def _watch(self, model: nn.Module) -> float:
        """Measure the accuracy on some test images, each process on its share of them."""
        model.eval()
        engine, images = self.engine, self.watched[0].to(torch.get_default_dtype())
        counts = torch.zeros(2, device=engine.device)
        for first in range(0, len(images), 32):
            x, y = (each[first : first + 32] for each in (images, self.watched[1]))
            _begin_masks(model, 0, list(range(first, first + len(x))))
            with engine.autocast():
                right = model(x.to(engine.device)).argmax(-1).cpu() == y
            counts += torch.tensor([right.sum(), len(y)]).to(counts)
        right, images = engine.reduce(counts, "sum").tolist()
        return right / images


def train(recipe: ScaleRecipe, setting: Setting) -> MaskedSpikingTransformer:
    """Train a network as a recipe says, or go on with a training that was interrupted.

    Called by every process of ``accelerate launch`` or ``torchrun``, or by one alone.

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
                phase = _Phase("relu", relu_updates, recipe.relu.rate, 0, _cross_entropy)
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
                phase = _Phase("qcfs", updates, recipe.qcfs.rate, relu_epochs, _cross_entropy)
                training.run(model, phase, metrics)
    model.config = replace(model.config, levels=recipe.qcfs.levels)
    return _finished(model)


def distil(
    recipe: ScaleRecipe, teacher: MaskedSpikingTransformer, masking: Masking, setting: Setting
) -> MaskedSpikingTransformer:
    """Train a masked copy of a network to answer as the network itself does (§4.3).

    The loss is that of `mstlib.train.distil`. Each image of an update has its own masks, whichever
    process works on it.

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
    more = {"teacher": _fingerprint(teacher), "masking": repr(masking)}
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
        watch = Attention(teacher, student, how.draws) if how.content else None

        def loss(student: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
            with torch.no_grad(), training.engine.autocast():
                wanted = teacher(images)
            answers = student(images.repeat(how.draws, 1, 1, 1))
            answer = answers.view(how.draws, len(images), -1).mean(0)
            right = nn.functional.cross_entropy(answer, targets)
            alike = divergence(answer, wanted.to(answer.dtype), how.temperature)
            value = (1 - how.share) * right + how.share * alike
            return value if watch is None else value + how.content * watch.collect()

        epochs = recipe.relu.epochs + recipe.qcfs.epochs  # other images than the teacher's
        phase = _Phase("distil", training.updates(how.epochs), how.rate, epochs, loss)
        with (
            shared(student),
            stochastic_depth(student, recipe.stochastic_depth),
            positive_thresholds(student, recipe.qcfs.score_cap),
        ):
            training.run(student, phase, metrics)
        if watch is not None:
            watch.remove()
    set_masking(student, None)
    student.trained_masking = masking or None
    return _finished(student)


@contextmanager
def _training(
    recipe: ScaleRecipe, setting: Setting, more: dict[str, Any]
) -> Iterator[tuple[_Training, Metrics | None]]:
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
        training = _Training(engine, recipe, setting, more)
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


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _cross_entropy(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(images), targets)


def _optimiser(model: nn.Module, recipe: ScaleRecipe, rate: float) -> torch.optim.Optimizer:
    from timm.optim import create_optimizer_v2, param_groups_weight_decay

    how = recipe.optimiser

    def groups(model: nn.Module) -> list[dict[str, Any]]:
        names = ["*relative_position_bias_table"]  # vectors and scalars have none anyway
        return param_groups_weight_decay(model, how.weight_decay, no_weight_decay_list=names)

    try:
        optimiser = create_optimizer_v2(
            model, how.name, how.rate * rate, how.weight_decay, param_group_fn=groups
        )
    except (AssertionError, ValueError) as trouble:
        raise RecipeError(f"optimiser.name {how.name!r} is none of timm's: {trouble}") from None
    if getattr(optimiser, "is_second_order", False):
        raise RecipeError(
            f"optimiser.name {how.name!r} needs second derivatives, which are not computed here"
        )
    return optimiser


def _schedule(optimiser: torch.optim.Optimizer, recipe: ScaleRecipe, phase: _Phase) -> Any:
    from timm.scheduler import create_scheduler_v2

    how, rate = recipe.schedule, recipe.optimiser.rate * phase.rate
    if how.name in ("none", "plateau"):  # timm's, but no function of the update
        raise RecipeError(
            f"schedule.name {how.name!r} gives no rate for each update; name one that does, as "
            "cosine or step"
        )
    try:
        schedule, _ = create_scheduler_v2(
            optimiser,
            how.name,
            num_epochs=phase.updates,  # counted in updates throughout
            warmup_epochs=int(how.warmup * phase.updates),
            warmup_lr=how.first * rate,
            min_lr=how.last * rate,
            step_on_epochs=False,
            updates_per_epoch=1,
        )
    except ValueError as trouble:
        raise RecipeError(f"schedule.name {how.name!r} is none of timm's: {trouble}") from None
    return schedule


def _mixup(recipe: ScaleRecipe, part: int) -> Any:
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


def _begin_masks(
    model: nn.Module, update: int, rows: list[int], batch: int = 0, draws: int = 1
) -> None:
    """Give each image of an update masks of its own, by its row in the whole batch."""
    images = [row + k * batch for k in range(draws) for row in rows]
    for module in model.modules():
        if isinstance(module, RandomSpikeMask):
            module.begin(range(update, update + 1), images)


@torch.no_grad()
def _thresholds(model: nn.Module) -> Tensor:
    """Gather every θ of a network, ``(nodes,)``."""
    return torch.stack([m.threshold for m in model.modules() if isinstance(m, QCFS)])


def _usable(thresholds: Tensor) -> bool:
    """Whether every θ is finite and above 0."""
    return bool(((thresholds > 0) & thresholds.isfinite()).all())


def _bar(phase: _Phase, first: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=phase.updates, initial=first, desc=phase.name, disable=not show)
