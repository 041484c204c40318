"""The operations of each layer counted a second time, with SpikingJelly's counter.

Question: are our counts of operations right?
Arms: four shipped networks, one of them masked; our trace, SpikingJelly's counter of synaptic
operations, and PyTorch's of dense ones.
Seeds: one of the masks. Images: two test digits, T = 4, in float64.
Statistic: operations of each layer, by both (chapter 9).
Refuted: by one layer whose counts differ by more than a thousandth.

SpikingJelly sees spikes only where every entry is 0 or 1, while a converted network sends 0 and θ.
So each layer is run again on its own recorded inputs with θ divided out. What the counter sees on
the network as it is goes into the file as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mstlib import data
from mstlib.analysis.operations import trace
from mstlib.checkpoints import available, load_shipped
from mstlib.convert import convert
from mstlib.masking import Masking
from mstlib.models.layers import Product
from mstlib.models.watching import watching
from mstlib.simulate import simulate
from mstlib.studies.records import FOLDER, Row, versions, write

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


@torch.no_grad()
def compare(name: str, source: str, masking: Masking | None) -> Row:
    """Count one network with both counters."""
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    images, _ = data.load(source, split="test", n=IMAGES)
    snn = convert(load_shipped(name).double())
    theirs: dict[str, int] = {}

    def again(layer: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counter = SynOpCounter()
            with DispatchCounterMode([counter]):
                module.forward(*map(spikes_of, inputs))  # not called: that would come back here
            theirs[layer] = theirs.get(layer, 0) + counter.get_total()

        return hook

    hooks = {
        module: again(layer)
        for layer, module in snn.net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | Product)
    }
    with watching(hooks):
        ours = trace(snn, images, STEPS, masking)
    as_it_is, dense = SynOpCounter(), FlopCounterMode(display=False)
    with DispatchCounterMode([as_it_is]):
        simulate(snn, images, STEPS, masking)
    with dense:
        load_shipped(name).double()(images.double())
    counted = [c for c in ours.layers if c.dense]
    return {
        "network": name,
        "masking": repr(masking),
        "layers": {c.name: {"ours": c.synaptic, "theirs": theirs[c.name]} for c in counted},
        "as it is": as_it_is.get_total(),
        "dense": {"ours": ours.total("dense"), "theirs": dense.get_total_flops() / 2 / IMAGES},
    }


def run(progress: bool = False) -> None:
    """Compare on every network that is shipped; print the layers where the counts differ.

    Raises:
        ValueError: SpikingJelly is not installed.
    """
    report: Row = {
        "made by": "mst study counters",
        "counters": versions("spikingjelly", "torch", install='pip install "mstlib[interop]"'),
        "images": IMAGES,
        "steps": STEPS,
        "networks": [compare(*these) for these in NETWORKS if these[0] in available()],
    }
    write(FOLDER / "counters.json", report)
    for network in report["networks"] if progress else ():
        ours, theirs = (sum(n[k] for n in network["layers"].values()) for k in ("ours", "theirs"))
        print(network["network"], network["masking"], ours, theirs, network["dense"])
        print(
            *(f"  {n} differs: {c}" for n, c in network["layers"].items() if len({*c.values()}) > 1)
        )
