"""What a network did with one picture, as the record that the live explorer draws.

The same record is made in a page without Python, by `mst_engine.js`. It is all JSON: spikes are
packed eight to a byte and written as base64.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mstlib.analysis.operations import Trace, trace
from mstlib.convert import SpikingNetwork
from mstlib.masking import Masking
from mstlib.models.sites import block_name, mask_after
from mstlib.models.watching import watching
from mstlib.simulate import Run


@dataclass(frozen=True)
class Watched:
    """One picture's simulation, and what was watched in it beside the counts.

    Attributes:
        trace: The simulation, with the spikes of the watched layers, and what it cost.
        delivered: ``{layer: bool (T, neurons)}``, the spikes of the recorded layer that its mask
            let pass; empty if it meets none.
        attention: ``(T, side²)``, what each token of the watched block was given of the attention:
            the weights that multiply V, averaged over heads and over the queries of its window, in
            the order of the token map.
        shapes: ``{layer: shape for one image and one step}``.
    """

    trace: Trace
    delivered: dict[str, Tensor]
    attention: Tensor
    shapes: dict[str, list[int]]

    @property
    def run(self) -> Run:
        """The simulation."""
        return self.trace.run


def watch(
    snn: SpikingNetwork,
    image: Tensor,
    steps: int,
    masking: Masking,
    seed: int,
    layer: str,
    block: int,
) -> Watched:
    """Simulate one picture and watch a layer and a block of a Masked Spiking Transformer.

    Args:
        snn: Converted from `mstlib.models.swin`.
        image: ``(1, channels, height, width)``, normalised. It is image 0 of the run.
        steps: T.
        masking: Random spike masking.
        seed: Seed of the masks.
        layer: Name of the spiking layer to record.
        block: Number of the block whose attention and whose last spikes are watched.

    Raises:
        ValueError: more than one image, no such block, or as `mstlib.simulate` does.
    """
    if len(image) != 1:
        raise ValueError(f"one picture is watched at a time, not {len(image)}")
    name = block_name(snn.net.config.depths, block)
    mask = mask_after(layer)
    passed: list[Tensor] = []
    weights: list[Tensor] = []
    shapes: dict[str, list[int]] = {}

    def note_passed(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passed.append((output != 0).view(len(module.steps), -1))

    def note_weights(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        weights.append(inputs[0].mean((1, 2)))  # (T·w, heads, N, N) to (T·w, N)

    def note_shape(layer: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        shape = list(output.unflatten(0, (module.steps, -1)).shape[1:])
        shapes[layer] = shape if ".attn." in layer else shape[1:]  # windows come first there

    modules = dict(snn.net.named_modules())
    hooks = {neuron: partial(note_shape, n) for n, neuron in snn.neurons.items()}
    if mask is not None:
        hooks[modules[mask]] = note_passed
    with watching(hooks), watching({modules[f"{name}.attn.mix"]: note_weights}, before=True):
        record = {layer, f"{name}.mlp.fc2_if"}
        # Some networks were trained with masks. What they do with others is what a reader asks.
        options = {"record": sorted(record), "as_trained": False}
        traced = trace(snn, image, steps, masking, seed, **options)
    attention = torch.cat(weights).view(steps, -1)
    back = modules[name].back  # from the order of the windows to that of the token map
    return Watched(
        traced,
        {} if mask is None else {layer: torch.cat(passed)},
        attention if back is None else attention[:, back],
        {layer: shapes[layer] for layer in snn.neurons},
    )


def record(watched: Watched) -> dict[str, object]:
    """Return one simulation as JSON.

    Returns:
        ``logits``, a list for each step; ``emitted``, spikes of each layer at each step;
        ``delivered``, spikes that passed each mask with a ratio above 0; ``totals``, the fields of
        `mstlib.analysis.operations.Totals`; ``additions``, synaptic operations of each layer over
        all steps;
        ``spikes``, base64 of the recorded bits, ``(T, neurons)`` flattened, with those that a mask
        let pass under "LAYER delivered"; ``attention``, see `Watched`; and ``milliseconds``, which
        only a page knows.
    """
    run = watched.run
    spikes = {name: packed(bits[:, 0]) for name, bits in run.spikes.items()}
    spikes |= {f"{name} delivered": packed(bits) for name, bits in watched.delivered.items()}
    return {
        "logits": run.logits[:, 0].tolist(),
        "emitted": {name: counts.tolist() for name, counts in run.step_counts.items()},
        "delivered": dict(run.delivered),
        "totals": asdict(watched.trace.totals()),
        "additions": {one.name: one.synaptic for one in watched.trace.layers if one.dense},
        "spikes": spikes,
        "attention": watched.attention.tolist(),
        "milliseconds": None,
    }


def packed(bits: Tensor) -> str:
    """Return base64 of spikes ``(T, neurons)``: flattened, eight to a byte, lowest bit first."""
    return _text(np.packbits(bits.flatten().cpu().numpy(), bitorder="little"))


def picture(pixels: Tensor, label: int | None) -> dict[str, object]:
    """Return an image ``(channels, side, side)`` in [0, 1] as bytes, row by row, and its label."""
    rows = (pixels.movedim(0, -1) * 255).round().to(torch.uint8)
    return {
        "side": pixels.shape[-1],
        "channels": pixels.shape[0],
        "pixels": _text(rows.cpu().numpy()),
        "label": label,
    }


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
