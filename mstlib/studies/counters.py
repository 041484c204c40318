"""Count the operations of a layer a second time, with SpikingJelly's counter, and compare.

Usage: make bench installs SpikingJelly; then PYTHONPATH=. .venv-bench/bin/python tools/counters.py

SpikingJelly sees spikes only where every entry is 0 or 1, while a converted network sends 0 and θ.
So each layer is run again on its own recorded inputs with θ divided out. What the counter sees on
the network as it is goes into the file as well.
"""

from __future__ import annotations

import json
from importlib.metadata import version

import torch
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import mstlib
from mstlib.analysis.operations import trace
from mstlib.masking import Masking
from mstlib.models.layers import Product
from mstlib.studies.records import FOLDER

OUT = FOLDER / "counters.json"
NETWORKS = (
    ("mst-digits", "digits", None),
    ("mst-digits", "digits", Masking(attention=0.75)),
    ("resnet-digits", "digits", None),
    ("vgg-digits", "digits", None),
)
IMAGES, STEPS = 2, 4


def spikes_of(x: Tensor) -> Tensor:
    """Divide θ out of spikes; leave real numbers as they are."""
    whole = x / x.amax() if x.count_nonzero() else x
    return whole if bool(((whole == 0) | (whole == 1)).all()) else x


def compare(name: str, data: str, masking: Masking | None) -> dict:
    """Count one network with both counters."""
    images, _ = mstlib.data.load(data, split="test", n=IMAGES)
    snn = mstlib.convert(mstlib.load(name).double())
    theirs: dict[str, int] = {}

    def again(layer: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counter = SynOpCounter()
            with DispatchCounterMode([counter]):
                module.forward(*map(spikes_of, inputs))  # not called: that would come back here
            theirs[layer] = theirs.get(layer, 0) + counter.get_total()

        return hook

    handles = [
        module.register_forward_hook(again(layer))
        for layer, module in snn.net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | Product)
    ]
    ours = trace(snn, images, STEPS, masking)
    for handle in handles:
        handle.remove()
    as_it_is, dense = SynOpCounter(), FlopCounterMode(display=False)
    with DispatchCounterMode([as_it_is]):
        mstlib.simulate(snn, images, STEPS, masking)
    with dense:
        mstlib.load(name).double()(images.double())
    layers = {
        c.name: {"ours": c.synaptic, "theirs": theirs[c.name]} for c in ours.layers if c.dense
    }
    return {
        "network": name,
        "masking": repr(masking),
        "layers": layers,
        "as it is": as_it_is.get_total(),
        "dense": {"ours": ours.total("dense"), "theirs": dense.get_total_flops() / 2 / IMAGES},
    }


def main() -> None:
    """Compare on every network that is shipped."""
    report = {
        "made by": "mst study counters",
        "counters": {name: version(name) for name in ("spikingjelly", "torch")},
        "images": IMAGES,
        "steps": STEPS,
        "networks": [compare(*these) for these in NETWORKS if these[0] in mstlib.available()],
    }
    report["counters"]["torch"] = report["counters"]["torch"].split("+")[0]
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for network in report["networks"]:
        ours, theirs = (sum(n[k] for n in network["layers"].values()) for k in ("ours", "theirs"))
        print(network["network"], network["masking"], ours, theirs, network["as it is"])
        print("  dense", network["dense"])
        for layer, counts in network["layers"].items():
            if counts["ours"] != counts["theirs"]:
                print("  differs:", layer, counts)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
