"""Hours, kilowatt-hours and memory of a training or a simulation: measured, or estimated.

A device that was measured has a rate, images a second. For one that was not there is its maker's
figure of operations a second, which no program reaches, times a share that the reader has to guess:
the *utilisation*. An estimate is no measurement, and is marked as one wherever it is shown.
"""

from __future__ import annotations

import copy
import platform
import re
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high

import torch
from torch import nn

from mstlib.convert import convert
from mstlib.simulate import simulate

# Passes through the network for each image: training goes back through it for the gradients of
# activations and of weights; a student is trained beside the forward pass of its teacher.
PASSES = {"train": 3, "distil": 4}
UTILISATION = 0.2  # of a GPU in training, to begin with: a guess, and the reader's to change
PUE = 1.2  # what a building draws for each watt of its computers: likewise


@dataclass(frozen=True)
class Device:
    """A device that was *not* measured here.

    Attributes:
        flops: Floating-point operations a second that its maker names, dense.
        watts: Its largest power.
        memory: Its memory, in 10⁹ bytes.
        half: Whether these are operations of 16 bits, so that it trains in mixed precision.
        source: Key of the reference in the book's bibliography.
    """

    flops: float
    watts: float
    memory: float
    half: bool
    source: str


# Figures of the makers, as collected by the sources. The authors trained on eight of the first.
DEVICES = {
    "RTX 3090, 32 bits": Device(35.7e12, 350, 24, False, "fudzilla2020"),
    "A100 SXM, 16 bits": Device(312e12, 400, 80, True, "lockwood2025"),
    "H100 SXM, 16 bits": Device(989.4e12, 700, 80, True, "lockwood2025"),
}
# Images to train on and to test with; the first two of a training at 224 pixels in the paper.
IMAGES = {
    "CIFAR-10": (50_000, 10_000),
    "CIFAR-100": (50_000, 10_000),
    "ImageNet": (1_281_167, 50_000),
    "CIFAR10-DVS": (9_000, 1_000),
}


def macs(model: nn.Module) -> int:
    """Count the multiplications, each with an addition, of one image's way through a network.

    Args:
        model: A network with `input_shape`, not converted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    training = model.training
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *model.input_shape, device=next(model.parameters()).device))
    model.train(training)
    return counter.get_total_flops() // 2


def training_flops(macs: int, images: int, epochs: float, what: str = "train") -> float:
    """Return the floating-point operations of a training.

    Args:
        macs: From `macs`, for one image.
        images: Images of an epoch.
        epochs: How many.
        what: "train" or "distil".

    Raises:
        ValueError: `what` is neither.
    """
    if what not in PASSES:
        raise ValueError(f"what must be one of {', '.join(PASSES)}, not {what!r}")
    return 2.0 * macs * PASSES[what] * images * epochs


def simulation_flops(macs: int, images: int, steps: int) -> float:
    """Return the floating-point operations of a simulation on a device that multiplies by zeros.

    Args:
        macs: From `macs`, for one image and step.
        images: How many.
        steps: T.
    """
    return 2.0 * macs * images * steps


def estimated_hours(flops: float, peak: float, utilisation: float, devices: int = 1) -> float:
    """Return the hours of so many operations on devices that were not measured.

    Args:
        flops: Floating-point operations in all.
        peak: Operations a second of one device, by its maker.
        utilisation: Share of them that is reached, in (0, 1].
        devices: How many, taken to divide the work perfectly.

    Raises:
        ValueError: a number out of its range.
    """
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be in (0, 1], not {utilisation!r}")
    if not peak > 0 or devices < 1:
        raise ValueError(f"peak must be > 0 and devices >= 1, not {peak!r} and {devices!r}")
    return flops / (peak * utilisation * devices) / 3600


def energy(hours: float, watts: float, devices: int = 1, pue: float = 1.0) -> float:
    """Return the kilowatt-hours of some hours at full power.

    Args:
        hours: How long.
        watts: Of one device.
        devices: How many.
        pue: Power usage effectiveness, ≥ 1: what the building draws over what its computers do.

    Raises:
        ValueError: a building that draws less than what is in it.
    """
    if pue < 1:
        raise ValueError(f"pue must be at least 1, not {pue!r}")
    return hours * watts * devices * pue / 1000


@dataclass(frozen=True)
class Memory:
    """What a training holds on each device, in bytes.

    Attributes:
        fixed: Weights, gradients and the optimiser's two moments.
        image: What an image leaves behind on its way forward, for the way back, in 32 bits.
        half: The same in mixed precision.
    """

    fixed: int
    image: int
    half: int


def training_memory(model: nn.Module) -> Memory:
    """Count what the training of a network holds; buffers of a library's own come on top.

    Args:
        model: A network with `input_shape` and QCFS activations, on the processor.
    """
    parameters = sum(p.nbytes for p in model.parameters())
    image, half = (_kept(model, 2, half) - _kept(model, 1, half) for half in (False, True))
    return Memory(4 * parameters, image, half)


def _kept(model: nn.Module, images: int, half: bool) -> int:
    """Return the bytes that autograd keeps of some images; the weights' own cancel out."""
    kept: dict[int, torch.UntypedStorage] = {}  # held, or another would get its address

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    net = copy.deepcopy(model).train()
    x = torch.zeros(images, *net.input_shape)
    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        net(x)
    return sum(storage.nbytes() for storage in kept.values())


@dataclass(frozen=True)
class Throughput:
    """What was measured on a device.

    Attributes:
        device: Its name.
        threads: Threads that computed; 0 on a GPU.
        batch: Images at a time.
        steps: T of the simulation.
        training: Images a second in training, QCFS and mixed precision where there is a GPU.
        simulation: Images a second in simulation over T steps.
    """

    device: str
    threads: int
    batch: int
    steps: int
    training: float
    simulation: float


def throughput(model: nn.Module, batch: int = 64, steps: int = 64, repeats: int = 3) -> Throughput:
    """Measure how many images a second a network is trained with, and simulated, on this machine.

    Takes the first GPU if there is one. The images are noise; each is counted in full.

    Args:
        model: A QCFS network; it is not changed.
        batch: Images at a time, of both.
        steps: T.
        repeats: Batches to measure after one to warm up; the median counts.

    Raises:
        ValueError: batch, steps or repeats below 1.
    """
    if min(batch, steps, repeats) < 1:
        raise ValueError(f"batch, steps and repeats must be >= 1, not {batch}, {steps}, {repeats}")
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    net = copy.deepcopy(model).to(device)
    images = torch.randn(batch, *net.input_shape, device=device)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    optimiser = torch.optim.AdamW(net.train().parameters(), lr=0.0)

    def update() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=gpu):
            loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    trained = _seconds(update, repeats, gpu)
    snn = convert(net.eval())
    simulated = _seconds(lambda: simulate(snn, images, steps), repeats, gpu)
    name = torch.cuda.get_device_name() if gpu else processor()
    threads = 0 if gpu else torch.get_num_threads()
    return Throughput(name, threads, batch, steps, batch / trained, batch / simulated)


def _seconds(work: Callable[[], object], repeats: int, gpu: bool) -> float:
    """Return the median time of some work."""

    def whole() -> None:
        work()
        if gpu:
            torch.cuda.synchronize()

    times = timeit.repeat(whole, timer=time.perf_counter, number=1, repeat=repeats + 1)
    return median_high(times[1:])


def processor() -> str:
    """Return the name of this machine's processor, as far as the system tells."""
    try:
        names = re.findall(r"model name\s*: *(.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
