"""Settings for the explorers' tests: a small walk, and curves that look like a conversion's."""

import numpy as np

from mstlib.data.events import EVENT
from mstlib.explorers import (
    ArchitectureExplorer,
    BackbonesExplorer,
    ConversionExplorer,
    CostExplorer,
    EnergyExplorer,
    EventsExplorer,
    MaskingExplorer,
    NetworkExplorer,
    NeuronExplorer,
    NormalisationExplorer,
    ProductExplorer,
    QCFSExplorer,
    SaliencyExplorer,
)
from mstlib.scale.cost import Memory

NETWORKS = ("mst-digits", "mst-scenes")
CAUSES = ["clipping", "quantisation", "unevenness", "product", "softmax", "norm"]


def _layer(name: str, kind: str, shape: list[int], signal: str = "real", **more: object) -> dict:
    return {"name": name, "kind": kind, "shape": shape, "signal": signal} | more


def _tensor(rows: int, columns: int, groups: int = 1, low: int = 0) -> dict:
    """Numbers that grow along the rows, from `low`."""
    values = [[low + k + j for j in range(columns)] for k in range(rows)]
    names = ("query", "key") if groups > 1 else ("token", "channel")
    about = dict(zip(("rows", "columns"), names, strict=True)) | {"unit": "spikes in 8 steps"}
    return {"values": values, "part": f"{groups} heads side by side", "groups": groups} | about


def _block(stage: str, number: int, tokens: int, width: int, heads: int) -> list[dict]:
    name = f"layers.{stage}.blocks.{number}"
    x, scores, hidden = [tokens, width], [heads, 16, 16], [tokens, 2 * width]
    masked, mean = (
        "Random masks fall on these spikes.",
        "A mean of products is no product of means.",
    )
    layers = [
        _layer("norm1", "norm", x, equation="8", tensor=_tensor(tokens, width, low=-9)),
        _layer("attn.q_if", "spike", x, "scaled binary", equation="6", rate=0.117, note=masked),
        _layer("attn.k_if", "spike", x, "scaled binary", equation="6", rate=0.094, note=masked),
        _layer("attn.qk", "product", scores, note=mean),
        _layer(
            "attn.attn_if",
            "spike",
            scores,
            "scaled binary",
            equation="7",
            rate=0.21,
            mask="attention",
            formula="A = IF(Q K^T / √d_{head})",
            tensor=_tensor(16, 16 * heads, heads),
        ),
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
            "snn": [[0.9 - near, 0.1, near] for near in nears],
            "distance": [away, 0.05, 0.012345678],
        }
        for layer, away in zip(_LAYERS, (0.2, 0.3), strict=True)
    }
    for norm, nears in (("BatchNorm", (0.0, 0.05, 0.08)), ("LayerNorm", (0.0, 0.01, 0.02)))
}

SCENES = [
    {"pixels": ("123456789" * 342)[:3072], "truth": truth, "label": label}
    for truth, label in (("T..D....C..D..D.", "ring"), (".D..T...D.....DC", "cross"))
]
SALIENCY = {
    "scenes": SCENES,
    # Every map rises along its places, each faster than the one before.
    "maps": {
        name: {
            layer: [[[k * (1 + t) for k in range(n)] for t in range(3)] for _ in SCENES]
            for layer, n in (("block 2", 64), ("block 3", 16))
        }
        for name in ("0 %", "75 %")
    },
    "cam": {
        "block 2": [[k % 8 for k in range(64)] for _ in SCENES],
        "block 3": [[int(k == 0) for k in range(16)] for _ in SCENES],
    },
    "right": {"0 %": [[False, True, True]] * 2, "75 %": [[False, False, True]] * 2},
    "times": [2, 8, 32],
}


# A network of a million dense operations, of which masks remove a tenth of those that spikes cause.
COUNTS = {
    "neurons": 10_000, "emitted": 2_000, "delivered": 2_000, "dense": 1_000_000,
    "synaptic": 200_000, "adds": 210_000, "macs": 60_000, "fetches": 250_000,
    "entry_adds": 10_000, "entry_macs": 10_000,
}  # fmt: skip
TRACES = {
    "mst-digits": {
        "0 %": COUNTS,
        "75 %": COUNTS
        | {"delivered": 1_500, "synaptic": 180_000, "adds": 190_000, "fetches": 230_000},
    },
    "resnet-digits": {"0 %": COUNTS | {"macs": 0}, "75 %": COUNTS | {"macs": 0, "adds": 90_000}},
}


MASKED = {
    name: {
        place: [
            {
                "ratio": ratio,
                "accuracy": 0.98 - cost * ratio**4,
                "sd": 0.012345678 * ratio,
                "scores": 0.3 + 0.6 * ratio,
                "emitted": 1 - 0.1 * ratio,
                "delivered": 1 - 0.4 * ratio,
            }
            for ratio in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
        ]
        for place, cost in (("attention", 0.1), ("mlp", 0.4))
    }
    for name in NETWORKS
}


BACKBONES = {
    name: [
        {
            "ratio": ratio,
            "accuracy": 0.99 - cost * ratio,
            "sd": 0.0123456 * ratio,
            "untuned": 0.99 - 0.89 * (ratio > 0.2),
            "layers": ["stem", "first", "last"],
            "emitted": [100.0, 50.0 - 10 * ratio, 20.0],
            "delivered": [200.0 - 100 * ratio, 50.0 - 50 * ratio, 20.0],
        }
        for ratio in (0.0, 0.25, 0.5, 0.75)
    ]
    for name, cost in (("resnet-digits", 0.8), ("vgg-digits", 0.4), ("mst-digits", 0.1))
}


def edge(leftwards: bool = False, number: int = 400) -> np.ndarray:
    """Events of a bright bar, 6 pixels high, that crosses 20×16 pixels; more of them at the end."""
    events = np.zeros(number, EVENT)
    events["t"] = 7_000 + 60_000 * np.sqrt(np.arange(number) / number)
    column = 4 + 12 * (events["t"] - 7_000) / 60_000
    events["p"] = np.arange(number) % 2  # the front grows brighter, what it leaves darker
    events["x"] = column + np.where(events["p"], 3, 0)
    if leftwards:
        events["x"] = 19 - events["x"]
    events["y"] = 5 + np.arange(number) % 6
    return events


RECORDINGS = {
    "right": (edge(), (16, 20), "A bar that moves right"),
    "left": (edge(True), (16, 20), "A bar that moves left"),
}


def explorers() -> dict:
    """A fresh explorer of each kind, by the name of its view."""
    return {
        "neuron": NeuronExplorer(),
        "qcfs": QCFSExplorer(),
        "product": ProductExplorer(rate_q=0.3, rate_k=0.45, steps=100),
        "architecture": ArchitectureExplorer(WALK, selected=3),
        "conversion": ConversionExplorer(
            CURVES, LEDGER, network="mst-scenes", measure="relative rms error"
        ),
        "normalisation": NormalisationExplorer(PROFILES, (2, 8, 32), layer=_LAYERS[1]),
        "saliency": SaliencyExplorer(**SALIENCY, layer="block 3"),
        "energy": EnergyExplorer(TRACES, steps=16),
        "events": EventsExplorer(RECORDINGS, time=30),
        "backbones": BackbonesExplorer(BACKBONES, ratio=0.75),
        "cost": CostExplorer(
            4_489_806_336,
            Memory(440_434_688, 322_547_336, 296_368_040),
            {
                "a laptop": {
                    "batch": [1, 4],
                    "training": [0.31, 0.41],
                    "simulation": [9.1, 9.7],
                    "watts": 60,
                }
            },
            steps=64,
        ),
        "masking": MaskingExplorer(MASKED, network="mst-scenes"),
        "network": NetworkExplorer(names=["mst-digits"], steps=16),
    }
