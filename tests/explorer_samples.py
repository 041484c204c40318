"""Settings for the explorers' tests: a small walk, and curves that look like a conversion's."""

from mstlib.explorers import (
    ArchitectureExplorer,
    ConversionExplorer,
    NeuronExplorer,
    NormalisationExplorer,
    QCFSExplorer,
)

NETWORKS = ("mst-digits", "mst-scenes")
CAUSES = ["clipping", "quantisation", "unevenness", "product", "softmax", "norm"]


def _layer(name: str, kind: str, shape: list[int], signal: str = "real", **more: object) -> dict:
    return {"name": name, "kind": kind, "shape": shape, "signal": signal} | more


def _block(stage: str, number: int, tokens: int, width: int, heads: int) -> list[dict]:
    name = f"layers.{stage}.blocks.{number}"
    x, scores, hidden = [tokens, width], [heads, 16, 16], [tokens, 2 * width]
    masked, mean = (
        "Random masks fall on these spikes.",
        "A mean of products is no product of means.",
    )
    layers = [
        _layer("norm1", "norm", x, equation="8"),
        _layer("attn.q_if", "spike", x, "scaled binary", equation="6", rate=0.117, note=masked),
        _layer("attn.k_if", "spike", x, "scaled binary", equation="6", rate=0.094, note=masked),
        _layer("attn.qk", "product", scores, note=mean),
        _layer("attn.attn_if", "spike", scores, "scaled binary", equation="7", rate=0.21),
        _layer("attn.softmax", "softmax", scores),
        _layer("residual1", "residual", x, equation="x + attention(norm(x))"),
        _layer("mlp.fc1", "linear", hidden),
        _layer("mlp.fc1_if", "spike", hidden, "binary", equation="9", rate=0.052),
    ]
    place = {"stage": stage, "block": f"{stage}.{number}"}
    return [layer | place | {"name": f"{name}.{layer['name']}"} for layer in layers]


WALK = [
    _layer("patch_embed.proj", "conv", [48, 8, 8], stage="stem"),
    _layer("patch_embed.proj_if", "spike", [64, 48], "binary", stage="stem", rate=0.3),
    *_block("0", 0, 64, 48, 3),
    *_block("0", 1, 64, 48, 3),
    _layer("layers.0.downsample", "merge", [16, 96], stage="0"),
    *_block("1", 0, 16, 96, 6),
    _layer("avgpool", "pool", [96], stage="head"),
    _layer("head", "head", [10], stage="head", block=None),
]

CURVES = {
    name: {
        "steps": list(range(1, 129)),
        "accuracy": [best * (1 - 0.9 / step**power) for step in range(1, 129)],
        "qcfs": best,
    }
    for name, best, power in zip(NETWORKS, (0.984, 0.999), (1.6, 1.1), strict=True)
}
LEDGER = {
    "mst-scenes": {
        "steps": [8, 16, 32, 64, 128],
        "causes": CAUSES,
        "error": [
            [0.021, 0.021, 0.021, 0.021, 0.021],
            [0.112, 0.0561, 0.028, 0.01402, 0.00701],
            [0.154, 0.0972, 0.0513, 0.026, 0.0131],
            [0.182, 0.181, 0.183, 0.1826, 0.1833],
            [0.117, 0.088, 0.0612, 0.0447, 0.0352],
            [0.0, 0.0, 0.00012345, 0.0, 0.0],
        ],
    }
}

_LAYERS = ("patch_embed.proj_if", "layers.0.blocks.0.mlp.fc2_if")
PROFILES = {
    norm: {
        layer: {
            "ann": [0.7, 0.2, 0.1],
            "snn": [[0.9 - near, 0.1, near] for near in (0.0, 0.05, 0.08)],
            "distance": [away, 0.05, 0.012345678],
        }
        for layer, away in zip(_LAYERS, (0.2, 0.3), strict=True)
    }
    for norm in ("BatchNorm", "LayerNorm")
}


def explorers() -> dict:
    """A fresh explorer of each kind, by the name of its view."""
    return {
        "neuron": NeuronExplorer(),
        "qcfs": QCFSExplorer(),
        "architecture": ArchitectureExplorer(WALK, selected=3),
        "conversion": ConversionExplorer(
            CURVES, LEDGER, network="mst-scenes", measure="relative rms error"
        ),
        "normalisation": NormalisationExplorer(PROFILES, (2, 8, 32), layer=_LAYERS[1]),
    }
