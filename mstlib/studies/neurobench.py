"""Count the operations of three networks with NeuroBench, and explain each difference from ours.

Usage: .boot/bin/uv pip install --no-deps --target DIR neurobench snntorch
       PYTHONPATH=DIR .venv/bin/python tools/neurobench_counts.py

Without --no-deps would come tonic, which is under the GPL; NeuroBench's metrics do not need it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version

import torch
from torch import Tensor, nn

import mstlib
from mstlib.analysis.counting import fan_out
from mstlib.analysis.operations import LayerCount, trace
from mstlib.convert import SpikingNetwork
from mstlib.interop.neurobench import measure
from mstlib.neurons import IFNeuron
from mstlib.studies.records import FOLDER

OUT = FOLDER / "neurobench.json"
NETWORKS = (("mst-digits", "digits"), ("mst-scenes", "scenes"), ("vgg-digits", "digits"))
IMAGES, STEPS = 20, 32


def ours(snn: SpikingNetwork, images: Tensor, labels: Tensor, steps: int) -> dict:
    """Count operations, and what NeuroBench leaves out, for one image over T steps.

    Args:
        snn: A converted network.
        images: ``(B, channels, height, width)``.
        labels: ``(B,)`` true classes.
        steps: T.
    """
    reached: dict[str, int] = {}  # multiplications of numbers that are not 0
    inside: dict[str, int] = {}  # of all numbers, but not of those that stand for the padding
    idle = 0  # neurons that got no current and sent no spike, after the first step

    def arrives(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            (x,) = inputs
            linear = isinstance(module, nn.Linear)
            fans = module.out_features if linear else fan_out(module, *x.shape[2:])
            some = int(((x != 0) * fans).sum())
            reached[name] = reached.get(name, 0) + some
            inside[name] = inside.get(name, 0) + int((torch.ones_like(x) * fans).sum())

        return hook

    def rest(neuron: IFNeuron, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
        nonlocal idle
        still = ((inputs[0] == 0) & (spikes == 0)).reshape(neuron.steps, neuron.images, -1)
        first = len(neuron.step_counts) == neuron.steps
        idle += int(still[1 if first else 0 :].sum())

    handles = [neuron.register_forward_hook(rest) for neuron in snn.neurons.values()]
    for name, module in snn.net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            handles.append(module.register_forward_hook(arrives(name)))
    found = trace(snn, images, steps)
    for handle in handles:
        handle.remove()
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


def rows(mine: dict, theirs: dict) -> list[dict]:
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


def compare(name: str, data: str) -> dict:
    """Measure one shipped network on the first test images of its data."""
    images, labels = mstlib.data.load(data, split="test", n=IMAGES)
    snn = mstlib.convert(mstlib.load(name).double())
    mine, found = ours(snn, images, labels, STEPS), measure(snn, images, labels, STEPS)
    return {
        "network": name,
        "data": data,
        "ours": mine,
        "theirs": found.metrics,
        "rows": rows(mine, found.metrics),
        "spikes go straight into": found.straight,
        "not seen": found.unseen,
    }


def main() -> None:
    """Measure, write the file, and print the rows."""
    report = {
        "made by": "mst study neurobench",
        "taken": date.today().isoformat(),
        "versions": {n: version(n).split("+")[0] for n in ("neurobench", "snntorch", "torch")},
        "images": IMAGES,
        "steps": STEPS,
        "networks": [compare(*these) for these in NETWORKS],
    }
    OUT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for network in report["networks"]:
        print(network["network"])
        for row in network["rows"]:
            print("  {what}: {ours} {theirs} {less} {left}".format(**row))


if __name__ == "__main__":
    main()
