"""The operations of three networks counted with NeuroBench, each difference from ours explained.

Question: what does the field's benchmark leave out of a converted transformer?
Arms: two transformers and one convolutional network; our counts and NeuroBench's.
Seeds: none, nothing is masked. Images: the first 20 of the test split, T = 32, in float64.
Statistic: each metric, its difference from ours, and what that difference is made of (page A4).
Refuted: by any part of a difference that has no name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date

import torch
from torch import Tensor, nn

from mstlib import data
from mstlib.analysis.counting import fan_out
from mstlib.analysis.operations import LayerCount, Trace, trace
from mstlib.checkpoints import load_shipped
from mstlib.convert import SpikingNetwork, convert
from mstlib.interop.neurobench import measure
from mstlib.models.watching import watching
from mstlib.neurons import IFNeuron
from mstlib.studies.records import FOLDER, Row, versions, write

NETWORKS = (("mst-digits", "digits"), ("mst-scenes", "scenes"), ("vgg-digits", "digits"))
IMAGES, STEPS = 20, 32
INSTALL = (
    "pip install --no-deps --target DIR neurobench snntorch, and set PYTHONPATH=DIR (without "
    "--no-deps comes tonic, which is under the GPL and not needed)"
)


def _watched(
    snn: SpikingNetwork, images: Tensor, steps: int
) -> tuple[Trace, Counter[str], Counter[str], int]:
    """Trace a run, and count what a trace does not.

    Returns:
        The trace; by layer of weights, its multiplications of numbers that are not 0, and of all
        numbers but those that stand for the padding; and how often, after the first step, a neuron
        got no current and sent no spike.
    """
    reached, inside, idle = Counter(), Counter(), 0

    def arrives(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            (x,) = inputs
            linear = isinstance(module, nn.Linear)
            fans = module.out_features if linear else fan_out(module, *x.shape[2:])
            reached[name] += int(((x != 0) * fans).sum())
            inside[name] += int((torch.ones_like(x) * fans).sum())

        return hook

    def rest(neuron: IFNeuron, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
        nonlocal idle
        still = ((inputs[0] == 0) & (spikes == 0)).reshape(neuron.steps, neuron.images, -1)
        first = len(neuron.step_counts) == neuron.steps
        idle += int(still[1 if first else 0 :].sum())

    hooks = dict.fromkeys(snn.neurons.values(), rest) | {
        module: arrives(name)
        for name, module in snn.net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    with watching(hooks):
        return trace(snn, images, steps), reached, inside, idle


def ours(snn: SpikingNetwork, images: Tensor, labels: Tensor, steps: int) -> Row:
    """Count operations, and what NeuroBench leaves out, for one image over T steps.

    Args:
        snn: A converted network.
        images: ``(B, channels, height, width)``.
        labels: ``(B,)`` true classes.
        steps: T.
    """
    found, reached, inside, idle = _watched(snn, images, steps)
    layers = [layer for layer in found.layers if layer.kind in ("linear", "conv")]
    products = [layer for layer in found.layers if layer.kind == "product"]
    entrywise = [layer for layer in found.layers if not layer.dense]
    real = [layer for layer in layers if layer.arrives == "real"]
    stored = [*snn.parameters(), *snn.buffers()]
    weights = [m.weight for m in snn.modules() if isinstance(m, nn.Linear | nn.Conv2d)]

    def each(counts: Iterable[int]) -> float:
        return sum(counts) / len(images)

    def lost(these: list[LayerCount]) -> float:
        return each(layer.dense - inside[layer.name] for layer in these)

    return {
        "additions": each(layer.adds for layer in found.layers),
        "of them entry by entry": each(layer.adds for layer in entrywise),
        "of them in products of spikes": each(
            layer.synaptic for layer in products if layer.arrives == "spikes × spikes"
        ),
        "of them in products with numbers": each(
            layer.synaptic for layer in products if layer.arrives != "spikes × spikes"
        ),
        "multiplications": each(layer.macs for layer in found.layers),
        "multiplications entry by entry": each(layer.macs for layer in entrywise),
        "multiplications in the padding": lost(real),
        "multiplications of 0": each(inside[layer.name] - reached[layer.name] for layer in real),
        "dense": each(layer.dense for layer in found.layers),
        "dense in products": each(layer.dense for layer in products),
        "dense in the padding": lost(layers),
        "updates": float(found.neurons * steps),
        "updates that change nothing": idle / len(images),
        "silence": 1 - found.emitted / found.neurons,
        "silence by layer": {n: 1 - rate for n, rate in found.run.firing_rates.items()},
        "accuracy": float(found.run.accuracy(labels)[-1]),
        "bytes": sum(x.numel() * x.element_size() for x in stored),
        "parameters": sum(x.numel() for x in snn.parameters()),
        "weights of 0": sum(int((x == 0).sum()) for x in weights) / sum(x.numel() for x in weights),
    }


def rows(mine: Row, theirs: Row) -> list[Row]:
    """Put each number of NeuroBench beside ours, with what makes the difference.

    Args:
        mine: What `ours` returned.
        theirs: The metrics of `mstlib.interop.neurobench.measure`.

    Returns:
        One entry a number: "what", "ours", "theirs", "less", the parts of ours that NeuroBench
        leaves out by what they are, and "left", the difference that they do not explain.
    """
    operations = theirs["SynapticOperations"]
    additions = {
        "products of spikes, Q·Kᵀ": "of them in products of spikes",
        "products with numbers, A·V": "of them in products with numbers",
        "softmax, sums and poolings": "of them entry by entry",
    }
    multiplications = {
        "norms and softmax": "multiplications entry by entry",
        "in the padding": "multiplications in the padding",
        "of numbers that are 0": "multiplications of 0",
    }
    dense = {"products of attention": "dense in products", "in the padding": "dense in the padding"}
    updates = {"of potentials that stay": "updates that change nothing"}
    table = (
        ("additions", "additions", operations["Effective_ACs"], additions),
        ("multiplications", "multiplications", operations["Effective_MACs"], multiplications),
        ("dense operations", "dense", operations["Dense"], dense),
        ("membrane updates", "updates", theirs["MembraneUpdates"], updates),
        ("activation sparsity", "silence", theirs["ActivationSparsity"], {}),
        ("accuracy", "accuracy", theirs["ClassificationAccuracy"], {}),
        ("footprint in bytes", "bytes", theirs["Footprint"], {}),
        ("parameters", "parameters", theirs["ParameterCount"], {}),
        ("connection sparsity", "weights of 0", theirs["ConnectionSparsity"], {}),
    )
    return [
        {
            "what": what,
            "ours": mine[key],
            "theirs": number,
            "less": {name: mine[part] for name, part in less.items() if mine[part]},
            "left": mine[key] - sum(mine[part] for part in less.values()) - number,
        }
        for what, key, number, less in table
    ]


def compare(name: str, source: str) -> Row:
    """Measure one shipped network on the first test images of its data."""
    images, labels = data.load(source, split="test", n=IMAGES)
    snn = convert(load_shipped(name).double())
    mine, found = ours(snn, images, labels, STEPS), measure(snn, images, labels, STEPS)
    return {
        "network": name,
        "data": source,
        "ours": mine,
        "theirs": found.metrics,
        "rows": rows(mine, found.metrics),
        "spikes go straight into": found.straight,
        "not seen": found.unseen,
    }


def run(progress: bool = False) -> None:
    """Measure, store the report, and print its rows.

    Raises:
        ValueError: NeuroBench is not installed.
    """
    report: Row = {
        "made by": "mst study neurobench",
        "taken": date.today().isoformat(),
        "versions": versions("neurobench", "snntorch", "torch", install=INSTALL),
        "images": IMAGES,
        "steps": STEPS,
        "networks": [compare(*these) for these in NETWORKS],
    }
    write(FOLDER / "neurobench.json", report)
    for network in report["networks"] if progress else ():
        print(network["network"])
        for row in network["rows"]:
            print("  {what}: {ours} {theirs} {less} {left}".format(**row))
