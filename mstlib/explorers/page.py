"""What a page needs to run a network without Python: its weights and a few pictures, as scripts.

    page.write()  # what `mst export --web` does

The weights are those of the converted network, BatchNorm folded away or reduced to a scale and a
shift, rounded to float32. A page computes with them in float64, and `network` gives the same
network to PyTorch, so that both can be compared to the last spike. The scripts fill
``mstExplorers.models`` and ``mstExplorers.pictures``, which `mst_engine.js` reads.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mstlib import data
from mstlib.checkpoints import WEIGHTS, data_set, load_shipped, manifest
from mstlib.convert import SpikingNetwork, convert
from mstlib.data import digits
from mstlib.data.checks import shuffled
from mstlib.models.swin import MaskedSpikingTransformer, WindowAttention

MODELS = (
    "mst-digits",
    "mst-digits-attention-75",
    "mst-digits-mlp-75",
    "mst-scenes",
    "mst-scenes-attention-75",
    "mst-cued-digits",
)
FOLDER = Path(__file__).parent / "static" / "models"  # the book takes them from here
PICTURES = 50  # of each data set
INKS = "0123456789abcdefg"  # the 17 ink levels of a digit's field, a character each


def transformers(folder: Path = WEIGHTS) -> list[str]:
    """Return the names of all shipped networks that a page can run, offered in the book or not."""
    known = manifest(folder)
    return sorted(
        name
        for name, entry in known.items()
        if "network" not in entry["config"] and entry["config"].get("norm", "batch") == "batch"
    )


def network(ann: str | nn.Module, folder: Path = WEIGHTS) -> SpikingNetwork:
    """Convert a network into the spiking one that a page computes with, for PyTorch, in float64.

    Args:
        ann: A shipped model's name, or a trained `MaskedSpikingTransformer` with BatchNorm.
        folder: Where the weights lie.

    Returns:
        A network whose weights are float64 numbers that float32 can write, and whose every
        BatchNorm has mean 0 and variance 1, so that only its scale and its shift are left.

    Raises:
        ValueError: no such model, or a network of another kind.
    """
    if isinstance(ann, str):
        if ann not in transformers(folder):
            raise ValueError(f"{ann!r} cannot run in a page; these can: {transformers(folder)}")
        ann = load_shipped(ann, folder)
    if not isinstance(ann, MaskedSpikingTransformer) or ann.config.norm != "batch":
        raise ValueError("only a MaskedSpikingTransformer with BatchNorm can run in a page")
    snn = convert(copy.deepcopy(ann).double())
    with torch.no_grad():
        for norm in snn.modules():
            if isinstance(norm, _BatchNorm):
                norm.weight /= torch.sqrt(norm.running_var + norm.eps)
                norm.bias -= norm.running_mean * norm.weight
                norm.running_mean.zero_()
                norm.running_var.fill_(1)
                norm.eps = 0.0
        for value in (*snn.parameters(), *snn.buffers()):
            if value.is_floating_point():
                value.copy_(value.float())
    for attention in snn.modules():
        if isinstance(attention, WindowAttention):
            attention.to_spikes()  # again, from the rounded position bias
    return snn


def tensors(snn: SpikingNetwork) -> dict[str, Tensor]:
    """Return the numbers of a network made by `network` that a page has to know, by their names."""
    trivial = ("running_mean", "running_var", "num_batches_tracked")
    return {
        name: value
        for name, value in snn.net.state_dict().items()
        if ".softmax." not in name and not name.endswith(trivial)
    }


def script(name: str, ann: str | nn.Module | None = None, folder: Path = WEIGHTS) -> str:
    """Return the script that gives a network to a page.

    Args:
        name: The name it is to have there.
        ann: See `network`; by default the shipped model of that name.
        folder: Where the weights lie.

    Raises:
        ValueError: as `network`.
    """
    snn = network(name if ann is None else ann, folder)
    numbers = tensors(snn)
    weights = np.concatenate([v.reshape(-1).numpy() for v in numbers.values()]).astype("<f4")
    trained = snn.trained_masking
    model = {
        "config": asdict(snn.net.config),
        "data": data_set(name, folder),
        "trained": None if trained is None else asdict(trained),
        "tensors": {name: list(value.shape) for name, value in numbers.items()},
        "weights": base64.b64encode(weights.tobytes()).decode(),
    }
    return f"mstExplorers.models[{json.dumps(name)}] = {_json(model)};\n"


@dataclass(frozen=True)
class Pictures:
    """Some test images of a data set, small enough for a page.

    Attributes:
        name: The data set.
        data: One text an image. Digits: 64 ink levels of 0 to 16, row by row, a character of
            `INKS` each. Boards: base64 of the pixels, uint8 ``(32, 32, 3)``.
        labels: Their classes.
        classes: The names of all classes.
    """

    name: str
    data: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def pixels(self) -> Tensor:
        """Return the images in [0, 1], float64 ``(n, channels, 32, 32)``."""
        if self.name == "digits":
            return torch.cat([_enlarged(text) for text in self.data])
        raw = b"".join(base64.b64decode(text) for text in self.data)
        boards = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, 32, 32, 3).copy())
        return boards.permute(0, 3, 1, 2).double() / 255

    def images(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return the images as a network wants them, normalised, ``(n, channels, 32, 32)``."""
        return _normalised(self.name, self.pixels()).to(dtype)

    def script(self) -> str:
        """Return the script that gives these pictures to a page."""
        mean, std = data.normalisation(self.name)
        content = {
            "classes": self.classes,
            "labels": self.labels,
            "mean": mean,
            "std": std,
            "pictures": self.data,
        }
        return f"mstExplorers.pictures[{json.dumps(self.name)}] = {_json(content)};\n"


@cache
def pictures(name: str) -> Pictures:
    """Return the first test images of the data set of a model, or of a data set.

    Args:
        name: A shipped model's name, or "digits", "scenes" or "cued-digits".

    Raises:
        ValueError: neither a model nor one of these sets.
    """
    name = data_set(name) or name
    if name == "digits":
        inks, labels = digits.originals("test")
        rows = shuffled(len(labels), seed=0)[:PICTURES]  # as `data.load` orders them
        texts = ["".join(INKS[ink] for ink in image.flat) for image in inks[rows]]
        labels = labels[rows]
    elif name in ("scenes", "cued-digits"):
        boards = data.boards(name, "test", PICTURES)
        texts = [base64.b64encode(image.tobytes()).decode() for image in boards.images]
        labels = boards.labels
    else:
        raise ValueError(f"no pictures of {name!r}; there are digits, scenes and cued-digits")
    return Pictures(name, tuple(texts), tuple(map(int, labels)), tuple(data.classes(name)))


def drawn(text: str) -> Tensor:
    """Return a digit that a reader drew as a network wants it.

    Args:
        text: 64 ink levels as in `Pictures.data`: each the number of inked cells in a 4×4 field of
            a 32×32 bitmap, which is how the digits of the data set were made.

    Returns:
        float64 ``(1, 1, 32, 32)``, normalised.

    Raises:
        ValueError: not 64 characters of `INKS`.
    """
    return _normalised("digits", _enlarged(text))


def _enlarged(text: str) -> Tensor:
    if len(text) != 64 or set(text) - set(INKS):
        raise ValueError(f"a digit is 64 characters of {INKS!r}, not {text!r}")
    ink = torch.tensor([INKS.index(c) for c in text], dtype=torch.float64).view(1, 1, 8, 8)
    return F.interpolate(ink / digits.MAX_INK, size=(32, 32), mode="bilinear", align_corners=False)


def _normalised(name: str, pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in data.normalisation(name))
    return (pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def write(folder: Path = FOLDER, names: Iterable[str] = MODELS) -> list[Path]:
    """Write the scripts of some networks, and of the pictures that go with them.

    Args:
        folder: Where to; it is made if it is not there.
        names: Shipped models.

    Returns:
        The files written: ``NAME.js``, and ``pictures-DATA.js``.

    Raises:
        ValueError: a model that is not shipped, or cannot run in a page.
    """
    scripts = {name: script(name) for name in names}
    for name in sorted({data_set(name) for name in scripts}):
        scripts[f"pictures-{name}"] = pictures(name).script()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in scripts.items():
        path = folder / f"{name}.js"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
