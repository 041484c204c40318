"""What came out of a training: accuracies, spikes and lesions as JSON and as a page, with curves.

Accuracy says little about masks on attention: where attention is silent, a mask on it changes
nothing. So the page says beside it how many attention neurons never fire, and what is left of the
accuracy without the attention's output, or with all its scores at zero.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mstlib.checkpoints.files import write_whole
from mstlib.convert import convert
from mstlib.masking import Masking, set_masking
from mstlib.models.lesions import LESIONS, lesion
from mstlib.models.sites import BLOCK, EMBEDDING
from mstlib.models.swin import MaskedSpikingTransformer
from mstlib.scale.batches import examples, open_source
from mstlib.scale.metrics import read_metrics
from mstlib.scale.recipe import ScaleRecipe
from mstlib.simulate import Run, simulate
from mstlib.train import accuracy

STEPS = (4, 8, 16, 32, 64)
ATTENTION = [name.removeprefix("attn.") for name in BLOCK if name.startswith("attn.")]


def report(
    model: MaskedSpikingTransformer,
    recipe: ScaleRecipe,
    folder: Path,
    root: Path | None = None,
    images: int = 500,
    steps: tuple[int, ...] = STEPS,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a trained network, and write ``report.json``, ``report.md`` and its curves.

    Args:
        model: The network, with QCFS activations; simulated with the masks it was trained with.
        recipe: What it was trained by.
        folder: Of the training; where to write.
        root: Folder of the data sets you download.
        images: How many test images.
        steps: Time steps to give the accuracy at, in rising order.
        device: Where to compute.

    Returns:
        What ``report.json`` holds: ``images``; ``masking``; ``qcfs``, the accuracy before
        conversion; ``snn``, ``{T: accuracy}``; ``rates``, spikes of a neuron in a step by kind of
        layer; ``silent``, the share of the neurons of each kind in the attention that never fired;
        ``lesions``, ``{kind: {"qcfs": accuracy, "snn": accuracy at the last T}}``; ``power``, of
        Eq. 10; ``updates``, those of the training; and ``last``, the last row of its metrics.
    """
    x, y = examples(open_source(recipe, "test", root), images)
    x, y = x.to(device), y.to(device)
    masking = model.trained_masking
    # A batch of the size that is simulated: at 224 pixels more would not fit every memory.
    size = 16
    model = model.to(device)
    snn = convert(model)
    run = simulate(snn, x, steps[-1], masking)
    found: dict[str, Any] = {
        "data": recipe.data,
        "images": len(y),
        "masking": None if masking is None else repr(masking),
        "qcfs": _qcfs(model, masking, x, y, size),
        "snn": {str(t): round(float(run.accuracy(y.cpu())[t - 1]), 4) for t in steps},
        "rates": _by_kind(run, run.firing_rates),
        "silent": {k: v for k, v in _by_kind(run, run.silent).items() if k in ATTENTION},
        "power": run.power(),
        "lesions": {},
    }
    for kind in LESIONS:
        with lesion(model, kind):
            before = _qcfs(model, masking, x, y, size)
        with lesion(snn, kind):
            after = float(simulate(snn, x, steps[-1], masking).accuracy(y.cpu())[-1])
        found["lesions"][kind] = {"qcfs": before, "snn": round(after, 4)}
    model.cpu()
    rows = read_metrics(folder)
    found |= {"updates": len(rows), "last": rows[-1] if rows else None}
    write_whole(folder / "report.json", f"{json.dumps(found, indent=1)}\n".encode())
    for name, picture in curves(rows).items():
        write_whole(folder / f"{name}.svg", picture.encode())
    write_whole(folder / "report.md", _page(found, rows).encode())
    return found


def curves(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Draw loss, accuracy, rate and thresholds over the updates of all phases, as SVG.

    Args:
        rows: From `mstlib.scale.metrics.read_metrics`.

    Returns:
        ``{name: picture}``; none where there are no rows.
    """
    from matplotlib import rc_context

    from mstlib import plots

    names = {
        "loss": "loss",
        "accuracy": "accuracy on watched images",
        "rate": "learning rate",
        "threshold": "mean threshold θ",
    }
    pictures = {}
    with rc_context():
        plots.style()
        import matplotlib.pyplot as plt

        for key, label in names.items():
            lines = defaultdict(list)
            for place, row in enumerate(rows, 1):
                if key in row:
                    lines[row["phase"]].append((place, row[key]))
            if not lines:
                continue
            figure, axes = plt.subplots()
            for phase, points in lines.items():
                axes.plot(
                    *zip(*points, strict=True), "o-" if len(points) < 30 else "-", label=phase
                )
            axes.set(xlabel="update", ylabel=label)
            axes.legend()
            ends = ", ".join(f"{p} from {v[0][1]:.3g} to {v[-1][1]:.3g}" for p, v in lines.items())
            shown = plots.show(figure, f"The {label} over {len(rows)} updates: {ends}.")
            pictures[key] = shown.svg
    return pictures


def _qcfs(
    model: MaskedSpikingTransformer, masking: Masking | None, x: Tensor, y: Tensor, size: int
) -> float:
    """Return the accuracy before conversion, with one mask for each image if there are masks."""
    set_masking(model, masking)
    try:
        return round(accuracy(model, x, y, size), 4)
    finally:
        set_masking(model, None)


def _by_kind(run: Run, values: dict[str, float]) -> dict[str, float]:
    """Return the mean of a value of layers over the neurons of each kind of layer."""
    sums, neurons = defaultdict(float), defaultdict(int)
    for name, value in values.items():
        kind, n = name.split(".")[-1], len(run.neuron_counts[name])
        if name.startswith(EMBEDDING):
            kind = "embedding"  # its layers are called as those of the attention are
        sums[kind] += value * n
        neurons[kind] += n
    return {kind: round(sums[kind] / neurons[kind], 5) for kind in sums}


def _page(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    masks = f"with {found['masking']}" if found["masking"] else "without masks"
    lines = [
        f"# {found['data']}, {masks}",
        "",
        f"Measured on {found['images']} test images after {found['updates']} updates.",
        "",
        "| | accuracy |",
        "|---|---|",
        f"| QCFS | {found['qcfs']:.4f} |",
        *(f"| in spikes, T = {t} | {value:.4f} |" for t, value in found["snn"].items()),
        "",
        "## Is the attention alive?",
        "",
        "Where accuracy stays without it, a mask on attention says nothing.",
        "",
        "| lesion | QCFS | in spikes |",
        "|---|---|---|",
        f"| none | {found['qcfs']:.4f} | {list(found['snn'].values())[-1]:.4f} |",
    ]
    words = {"branch": "output of each attention is zero", "scores": "attention scores are zero"}
    for kind, values in found["lesions"].items():
        lines.append(f"| {words[kind]} | {values['qcfs']:.4f} | {values['snn']:.4f} |")
    lines += [
        "",
        "| layer | spikes a neuron and step | neurons that never fired |",
        "|---|---|---|",
    ]
    for kind, rate in found["rates"].items():
        silent = found["silent"].get(kind)
        lines.append(f"| {kind} | {rate:.4f} | {'' if silent is None else f'{silent:.1%}'} |")
    lines += [
        "",
        f"Power (Eq. 10, per step): {found['power']:,.0f} α watts.",
        "",
        "## Training",
        "",
    ]
    lines += [
        f"![{key}]({key}.svg)"
        for key in ("loss", "accuracy", "rate", "threshold")
        if any(key in row for row in rows)
    ]
    return "\n".join(lines) + "\n"
