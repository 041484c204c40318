"""The explorer of cost: hours and kilowatt-hours of a training or a simulation at full scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from mstlib.explorers.base import STYLE, Explorer, Number, module, table
from mstlib.scale.cost import (
    DEVICES,
    IMAGES,
    PUE,
    UTILISATION,
    estimated_hours,
    simulation_flops,
    training_flops,
)
from mstlib.scale.cost import energy as energy_of

TASKS = ("train", "distil", "simulate")


class CostExplorer(Explorer):
    """What a training or a simulation costs, by device, with every assumption shown.

    Args:
        macs: Multiplications of one image's way through the network, from `mstlib.scale.cost.macs`.
        measured: ``{device: {"training": images/s, "simulation": image steps/s, "watts": W}}`` of
            devices that were measured; the power is assumed.
        task: "train", "distil" or "simulate".
        data: Name of a data set of `mstlib.scale.cost.IMAGES`.
        epochs: Of a training, 1 to 300.
        steps: T of a simulation, 1 to 512.
        device: Of `mstlib.scale.cost.DEVICES`, or one that was measured.
        devices: How many, 1 to 64.
        utilisation: Percentage of the maker's figure that is reached, 1 to 100; only for devices
            that were not measured.
        pue: Power usage effectiveness of the building, 1 to 2.

    Raises:
        traitlets.TraitError: an unknown name, or a number out of its range.
    """

    _esm = module("cost")
    _css = STYLE
    _view = "cost"
    _settings = (
        "work",
        "sets",
        "machines",
        "task",
        "data",
        "epochs",
        "steps",
        "device",
        "devices",
        "utilisation",
        "pue",
    )

    work = Number(1, 1, 1e15)
    sets = traitlets.Dict().tag(sync=True)
    machines = traitlets.Dict().tag(sync=True)
    task = traitlets.Enum(TASKS, "train").tag(sync=True)
    data = traitlets.Unicode("CIFAR-10").tag(sync=True)
    epochs = Number(300, 1, 300, whole=True)
    steps = Number(256, 1, 512, whole=True)
    device = traitlets.Unicode().tag(sync=True)
    devices = Number(8, 1, 64, whole=True)
    utilisation = Number(100 * UTILISATION, 1, 100)
    pue = Number(PUE, 1, 2)

    def __init__(
        self, macs: int, measured: Mapping[str, Mapping[str, float]] | None = None, **settings: Any
    ) -> None:
        machines: dict[str, dict[str, float]] = {}
        for name, found in (measured or {}).items():
            if set(found) != {"training", "simulation", "watts"} or min(found.values()) <= 0:
                raise traitlets.TraitError(
                    f"{name!r} must have training, simulation and watts, each above 0: {found}"
                )
            machines[name] = {key: float(f"{value:.3g}") for key, value in found.items()}
        for name, device in DEVICES.items():
            machines[name] = {"flops": device.flops, "watts": device.watts}
        super().__init__(
            work=macs,
            sets={name: list(images) for name, images in IMAGES.items()},
            machines=machines,
            **{"device": next(iter(DEVICES))} | settings,
        )

    @traitlets.validate("data", "device")
    def _check_name(self, proposal: dict) -> str:
        known = {"data": self.sets, "device": self.machines}[proposal["trait"].name]
        if known and proposal["value"] not in known:
            raise traitlets.TraitError(
                f"{proposal['trait'].name} must be among {list(known)}, not {proposal['value']!r}"
            )
        return proposal["value"]

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
            hours = test * self.steps / machine["simulation"] / count / 3600
        else:
            more = 4 / 3 if self.task == "distil" else 1  # the teacher's way forward
            hours = more * train * self.epochs / machine["training"] / count / 3600
        return hours, energy_of(hours, machine["watts"], count, self.pue)

    def fallback(self) -> str:
        """A table of all devices, for the settings at first."""
        rows = []
        for name, machine in self.machines.items():
            hours, kwh = self.cost(name)
            how = "estimated" if "flops" in machine else "measured"
            rows.append([name, how, f"{hours:,.3g}", f"{kwh:,.3g}"])
        what = f"T = {self.steps}" if self.task == "simulate" else f"{self.epochs} epochs"
        title = f"{self.task}, {self.data}, {what}, {self.devices} devices"
        return table(title, ["device", "", "hours", "kWh"], rows)

    def __repr__(self) -> str:
        return f"CostExplorer({self.task}, {self.data}, {self.devices} × {self.device})"
