"""What the engine's time is spent on: the profile behind its distance from the floor."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile, record_function

import mstlib
from benchmark import networks
from mstlib import neurons

KINDS = {
    "matrix products": (
        "mkldnn::_linear_pointwise",
        "aten::mkldnn_convolution",
        "aten::addmm",
        "aten::mm",
        "aten::bmm",
    ),
    "neurons": ("neurons",),
    "rearranging": ("aten::copy_", "aten::index_select"),
    "softmax": ("aten::addcmul", "aten::sum", "aten::div_", "aten::mul_"),
    "norms and sums": ("aten::native_batch_norm", "aten::add", "aten::mean"),
}
REST = "Python and the rest"


def measure(images: int, steps: int, repeats: int) -> dict[str, object]:
    """Profile the engine on `mst-digits`, on one thread, and sum up the time by kind of work.

    The profiler itself takes time, so what counts is the shares: medians over the repeats.
    """
    ann, x = networks.load("mst-digits", images)
    snn = mstlib.convert(ann)
    threads, fire = torch.get_num_threads(), neurons.fire
    torch.set_num_threads(1)
    neurons.fire = _noted(fire)
    try:
        mstlib.simulate(snn, x, steps)
        runs = [_shares(lambda: mstlib.simulate(snn, x, steps)) for _ in range(repeats)]
    finally:
        neurons.fire = fire
        torch.set_num_threads(threads)
    middle = {kind: float(torch.tensor([run[kind] for run in runs]).median()) for kind in runs[0]}
    print(f"\nwhat the engine's time is spent on, {images} images, {steps} steps, one thread")
    print("".join(f"{kind}: {share:.0%}   " for kind, share in middle.items()))
    return {"network": "mst-digits", "images": images, "steps": steps, "shares": middle}


def _noted(fire: Callable) -> Callable:
    """Let the profiler see a compiled loop."""

    def noted(*arguments: object) -> None:
        with record_function("neurons"):
            fire(*arguments)

    return noted


def _shares(work: Callable[[], object]) -> dict[str, float]:
    with profile(activities=[ProfilerActivity.CPU]) as record:
        start = time.perf_counter()
        work()
        whole = time.perf_counter() - start
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in record.key_averages()}
    shares = {
        kind: sum(spent.get(name, 0.0) for name in names) / whole for kind, names in KINDS.items()
    }
    return shares | {REST: 1 - sum(shares.values())}
