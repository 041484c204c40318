"""The loop of a training at full scale: update by update, phase by phase.

The data are not given to the engine. Which image an update sees is a function of seed, epoch and
index (see `mstlib.scale.batches`), and what is drawn in an update (masks, random rounding, skipped
branches, mixup) of seed, phase, update and process. So a training that was interrupted needs no
state of any random generator, and ends at the same bits.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mstlib.data.places import StandInWarning
from mstlib.masking import RandomSpikeMask
from mstlib.qcfs import QCFS
from mstlib.scale import optimise, state
from mstlib.scale.batches import Plan, examples, load, open_source, seed_all
from mstlib.scale.metrics import Metrics
from mstlib.scale.recipe import ScaleRecipe
from mstlib.scale.setting import Setting
from mstlib.train import Wake, calibrate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # of the network, images and targets


class TrainingError(ValueError):
    """A training cannot go on; the message says why."""


@dataclass(frozen=True)
class Phase:
    """A part of a training with a schedule of its own.

    Attributes:
        name: "relu", "qcfs" or "distil".
        updates: How many.
        rate: Factor of the recipe's rate.
        first_epoch: Number of its first epoch: its images are not those of another phase.
        loss: What is made small.
    """

    name: str
    updates: int
    rate: float
    first_epoch: int
    loss: Loss


class Training:
    """A training in progress, in one of its processes.

    Args:
        engine: Accelerate's.
        recipe: What to do.
        setting: Where, on what and how.
        more: What else decides the weights, as JSON would hold it.

    Raises:
        StateError: the folder holds the state of another training, or a damaged one.
        DataNotFound, RecipeError: as for `mstlib.scale.fit.train`.
    """

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
        self.mixup = optimise.mixup(recipe, how.images // world // how.accumulation)
        self.path = setting.out / state.STATE
        self.identity = {
            **recipe.deciding(),
            **self.source.identity(),
            "seed": setting.seed,
            "precision": setting.precision,
            **more,
        }
        self.saved = state.read(self.path, self.identity)
        # A launcher may have started fewer than it was asked for.
        self.say(f"processes: {world}, the first on {engine.device}")
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

    def run(self, model: nn.Module, phase: Phase, metrics: Metrics | None) -> None:
        """Train in a phase, from its last state on if there is one."""
        engine, recipe = self.engine, self.recipe
        saved = self.saved if self.saved and self.saved["phase"] == phase.name else None
        self.saved = None
        if saved:
            model.load_state_dict(saved["model"])
        if not phase.updates:
            return
        todo = range(saved["update"] if saved else 0, phase.updates)
        first, workers = phase.first_epoch, recipe.batch.workers
        with (
            self._prepared(model, phase, saved) as (optimiser, schedule, wrapped, prepared),
            closing(load(self.source, self.plan, todo, first, workers)) as parts,
            _bar(phase, todo.start, self.main and self.setting.progress) as bar,
            Wake(model) if recipe.qcfs.wake else nullcontext() as penalty,
        ):
            kept = time.monotonic()
            for update in todo:
                began = time.monotonic()
                schedule.step_update(update)
                model.train()
                total = self._gradient(wrapped, phase, update, parts, penalty)
                norm = engine.clip_grad_norm_(wrapped.parameters(), recipe.optimiser.clip)
                prepared.step()
                prepared.zero_grad()
                loss, done = float(engine.reduce(total, "mean")), update + 1
                ends = done % self.plan.updates == 0 or done == phase.updates
                self._check(model, phase, done, loss, ends)
                row = {
                    "phase": phase.name,
                    "update": done,
                    "epoch": phase.first_epoch + update // self.plan.updates,
                    "loss": loss,
                    "rate": optimiser.param_groups[0]["lr"],
                    "gradient": float(norm),
                    **self._measured(model, phase, ends),
                    "seconds": round(time.monotonic() - began, 3),
                }
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
        model.eval()

    @contextmanager
    def _prepared(
        self, model: nn.Module, phase: Phase, saved: dict[str, Any] | None
    ) -> Iterator[tuple[torch.optim.Optimizer, Any, nn.Module, AcceleratedOptimizer]]:
        """Make a phase's optimiser and schedule, and let the engine wrap network and optimiser."""
        engine, recipe = self.engine, self.recipe
        model.to(engine.device)  # before the optimiser, whose state follows its parameters
        optimiser = optimise.optimiser(model, recipe, phase.rate)
        schedule = optimise.schedule(optimiser, recipe, phase.rate, phase.updates)
        if saved and saved["optimiser"] is not None:
            optimiser.load_state_dict(saved["optimiser"])
        wrapped, prepared = engine.prepare(model, optimiser)
        if saved and engine.scaler is not None and saved["scaler"]:
            engine.scaler.load_state_dict(saved["scaler"])
        yield optimiser, schedule, wrapped, prepared
        engine.unwrap_model(wrapped, keep_fp32_wrapper=False)
        # Unwrapped, yet still marked: the next phase would be left without its precision.
        model.__dict__.pop("_is_accelerate_prepared", None)
        engine.free_memory()

    def _measured(self, model: nn.Module, phase: Phase, ends: bool) -> dict[str, float]:
        """Measure what an update came to; at the end of an epoch, the accuracy too."""
        row = {}
        if phase.name != "relu":
            row["threshold"] = float(_thresholds(model).mean())
        if ends:
            row["accuracy"] = self._watch(model)
        return row

    def calibrate(self, model: nn.Module, images: Tensor, phase: Phase) -> None:
        """Turn a network that was trained in a phase into QCFS (see `mstlib.train.calibrate`)."""
        how = self.recipe.qcfs
        calibrate(model, images, how.levels, how.percentile)
        if not _usable(_thresholds(model)):
            raise self._blown_up("an activation is infinite or NaN", phase, phase.updates)

    def _gradient(
        self,
        model: nn.Module,
        phase: Phase,
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

    def _check(self, model: nn.Module, phase: Phase, done: int, loss: float, ends: bool) -> None:
        """Raise if numbers came out that no training can go on from; weights, at an epoch's end."""
        if not math.isfinite(loss):
            raise self._blown_up(f"the loss is {loss}", phase, done)
        if phase.name != "relu" and not _usable(_thresholds(model)):
            raise self._blown_up("a threshold θ is 0, infinite or NaN", phase, done)
        if ends and not all(bool(weight.isfinite().all()) for weight in model.parameters()):
            raise self._blown_up("a weight is infinite or NaN", phase, done)

    def _blown_up(self, what: str, phase: Phase, done: int) -> TrainingError:
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


def _bar(phase: Phase, first: int, show: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=phase.updates, initial=first, desc=phase.name, disable=not show)
