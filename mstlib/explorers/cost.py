"""The explorer of cost: hours, energy and memory of a training or a simulation at full scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Name, Number, table
from mstlib.scale.cost import (
    DEVICES,
    IMAGES,
    PUE,
    UTILISATION,
    Memory,
    estimated_hours,
    simulation_flops,
    training_flops,
)
from mstlib.scale.cost import energy as energy_of

TASKS = ("train", "distil", "simulate")
_MEASURED = {"batch", "training", "simulation", "watts"}


class CostExplorer(Explorer):
    """What a training or a simulation costs, by device, with every assumption shown.

    Args:
        macs: Multiplications of one image's way through the network, from `mstlib.scale.cost.macs`.
        memory: What its training holds, from `mstlib.scale.cost.training_memory`.
        measured: ``{device: {"batch": [images at a time, …], "training": [images/s, …],
            "simulation": [image steps/s, …], "watts": W}}`` of devices that were measured, batches
            in rising order; the power is assumed.
        task: "train", "distil" or "simulate".
        data: Name of a data set of `mstlib.scale.cost.IMAGES`.
        epochs: Of a training, 1 to 300.
        steps: T of a simulation, 1 to 512.
        device: Of `mstlib.scale.cost.DEVICES`, or one that was measured.
        devices: How many, 1 to 64.
        batch: Images at a time on each of them, 1 to 512. A device that was measured works as fast
            as it did with the largest of its batches that is not larger.
        utilisation: Percentage of the maker's figure that is reached, 1 to 100; only for devices
            that were not measured.
        pue: Power usage effectiveness of the building, 1 to 2.

    Raises:
        traitlets.TraitError: an unknown name, or a number out of its range.
    """

    _view = "cost"

    work = Number(1, 1, 1e15)
    sets = traitlets.Dict().tag(sync=True)
    machines = traitlets.Dict().tag(sync=True)
    task = traitlets.Enum(TASKS, "train").tag(sync=True)
    data = Name("sets", "CIFAR-10")
    epochs = Number(300, 1, 300, whole=True)
    steps = Number(256, 1, 512, whole=True)
    device = Name("machines", next(iter(DEVICES)))
    devices = Number(8, 1, 64, whole=True)
    batch = Number(128, 1, 512, whole=True)
    utilisation = Number(100 * UTILISATION, 1, 100)
    pue = Number(PUE, 1, 2)
    memory = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        macs: int,
        memory: Memory,
        measured: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        machines: dict[str, dict[str, Any]] = {}
        for name, found in (measured or {}).items():
            _check_measured(name, found)
            machines[name] = {key: _brief(value) for key, value in found.items()}
        for name, device in DEVICES.items():
            machines[name] = {key: v for key, v in asdict(device).items() if key != "source"}
        super().__init__(
            work=macs,
            memory=asdict(memory),
            sets={name: list(images) for name, images in IMAGES.items()},
            machines=machines,
            **settings,
        )

    def cost(self, device: str, devices: int | None = None) -> tuple[float, float]:
        """Return hours and kilowatt-hours of the present task on so many devices of a kind.

        Args:
            device: Its name.
            devices: How many; ``None`` for the present number.
        """
        count = self.devices if devices is None else devices
        machine, (train, test) = self.machines[device], self.sets[self.data]
        if "flops" in machine:
            if self.task == "simulate":
                flops = simulation_flops(self.work, test, self.steps)
            else:
                flops = training_flops(self.work, train, self.epochs, self.task)
            hours = estimated_hours(flops, machine["flops"], self.utilisation / 100, count)
        elif self.task == "simulate":
            hours = test * self.steps / self._rate(machine, "simulation") / count / 3600
        else:
            more = 4 / 3 if self.task == "distil" else 1  # the teacher's way forward
            hours = more * train * self.epochs / self._rate(machine, "training") / count / 3600
        return hours, energy_of(hours, machine["watts"], count, self.pue)

    def _rate(self, machine: Mapping[str, Any], what: str) -> float:
        """Return what was measured with the largest batch that is not larger than the present."""
        smaller = sum(batch <= self.batch for batch in machine["batch"])
        return machine[what][max(smaller, 1) - 1]

    def held(self, device: str) -> float | None:
        """Return the memory that a training needs on each device of a kind, in 10⁹ bytes.

        Args:
            device: Its name.

        Returns:
            ``None`` for a simulation, which takes its images in pieces that fit.
        """
        if self.task == "simulate":
            return None
        weights, half = self.memory["fixed"], self.machines[device].get("half")
        teacher = weights / 4 if self.task == "distil" else 0  # no gradients and no moments
        image = self.memory["half" if half else "image"]
        return (weights + teacher + self.batch * image) / 1e9

    def fallback(self) -> str:
        """A table of all devices, for the settings at first."""
        rows = []
        for name, machine in self.machines.items():
            hours, kwh = self.cost(name)
            how = "estimated" if "flops" in machine else "measured"
            held, room = self.held(name), machine.get("memory")
            gigabytes = "–" if held is None else f"{held:.3g}" + (f" of {room}" if room else "")
            rows.append([name, how, f"{hours:,.3g}", f"{kwh:,.3g}", gigabytes])
        what = f"T = {self.steps}" if self.task == "simulate" else f"{self.epochs} epochs"
        who = f"{self.devices} devices, {self.batch} images each"
        title = f"{self.task}, {self.data}, {what}, {who}"
        return table(title, ["device", "from", "hours", "kWh", "GB each"], rows)

    def __repr__(self) -> str:
        return f"CostExplorer({self.task}, {self.data}, {self.devices} × {self.device})"


def _check_measured(name: str, found: Mapping[str, Any]) -> None:
    """Raise ``TraitError`` unless a device has rates above 0 for batches in rising order."""
    lists = [found.get(key) for key in ("batch", "training", "simulation")]
    whole = (
        set(found) == _MEASURED
        and all(isinstance(values, list | tuple) and values for values in lists)
        and len({len(values) for values in lists}) == 1
        and min(found["watts"], *(min(values) for values in lists)) > 0
        and list(lists[0]) == sorted(set(lists[0]))
    )
    if not whole:
        raise traitlets.TraitError(
            f"{name!r} must have watts and, of equal length, lists of batch (rising), training and "
            f"simulation, each number above 0: {found}"
        )


def _brief(value: Any) -> Any:
    """Return numbers in three digits, which is as much as a measurement says."""
    if isinstance(value, list | tuple):
        return [_brief(each) for each in value]
    return float(f"{value:.3g}")
