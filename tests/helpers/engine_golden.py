"""Golden intermediates for the engine's own tests: small networks, and what PyTorch does.

python tests/helpers/engine_golden.py    writes tests/js/engine_golden.json
"""

import base64
import json
import math
from dataclasses import asdict

import torch
from places import TESTS
from tiny import pictures, tiny

from mstlib import Masking
from mstlib.analysis import operations
from mstlib.explorers import page
from mstlib.explorers.answers import packed

PATH = TESTS / "js" / "engine_golden.json"
STEPS, SEED, MASKS = 12, 11, {"attention": 0.5, "mlp": 0.25}
NETWORKS = {
    "softmax": {},
    "pure": {"attention": "pure"},
    "code": {"residual": "norm", "final_norm": "layer", "mlp_norm": False},
}


def golden(name: str, script: str | None = None) -> dict[str, object]:
    """Return a network's script, an image, and all that a masked run of it gives.

    Args:
        name: One of `NETWORKS`.
        script: A script made before, whose weights it is to have; a processor of another kind
            might round others.
    """
    ann, image = tiny(seed=5, width=6, heads=(2, 2), **NETWORKS[name]), pictures(1, 3)
    snn = page.network(ann)
    script = script or page.script(name, ann)
    snn.net.load_state_dict(weights(script), strict=False)
    for block in snn.net.blocks:
        block.attn.to_spikes()
    traced = operations.trace(
        snn, image.double(), STEPS, Masking(**MASKS), SEED, record=snn.neurons
    )
    run = traced.run
    return {
        "script": script,
        "pixels": image.flatten().tolist(),
        "logits": run.logits[:, 0].tolist(),
        "emitted": {layer: counts.tolist() for layer, counts in run.step_counts.items()},
        "delivered": run.delivered,
        "additions": {one.name: one.synaptic for one in traced.layers if one.synaptic},
        "totals": asdict(traced.totals()),
        "spikes": {layer: packed(spikes[:, 0]) for layer, spikes in run.spikes.items()},
    }


def weights(script: str) -> dict[str, torch.Tensor]:
    """Read the weights back from a script, float64."""
    model = json.loads(script.partition(" = ")[2].rstrip(";\n"))
    numbers = torch.frombuffer(bytearray(base64.b64decode(model["weights"])), dtype=torch.float32)
    sizes = [math.prod(shape) for shape in model["tensors"].values()]
    parts = zip(model["tensors"].items(), numbers.double().split(sizes), strict=True)
    return {name: part.view(shape) for (name, shape), part in parts}


def everything() -> dict[str, object]:
    """Return the whole file's content."""
    options = {"steps": STEPS, "seed": SEED, "masking": MASKS}
    return {"options": options, "networks": {name: golden(name) for name in NETWORKS}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    PATH.write_text(json.dumps(everything(), indent=1) + "\n", encoding="utf-8")
