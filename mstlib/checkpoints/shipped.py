"""Weights: the shipped models, checked by their hash, and `open_model` for every other kind.

No file is ever unpickled into code: shipped weights are safetensors, and see
`mstlib.checkpoints.official` for how a ``.pth`` is read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load, save

from mstlib.checkpoints.files import write_whole
from mstlib.checkpoints.hub import load_model
from mstlib.checkpoints.official import LEVELS, OFFICIAL, find, load_official
from mstlib.checkpoints.state_dicts import CheckpointError, fill

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = Path(__file__).parents[1] / "weights"
_MANIFEST = "manifest.json"


def available() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(manifest())


def manifest(folder: Path = WEIGHTS) -> dict[str, dict[str, object]]:
    """Return what is known of each shipped model: hash, configuration, recipe and seed."""
    path = folder / _MANIFEST
    return json.loads(path.read_text()) if path.exists() else {}


def data_set(name: str, folder: Path = WEIGHTS) -> str | None:
    """Return the data set of a shipped model, a student's from its teacher; ``None`` if unknown."""
    entry = manifest(folder).get(name)
    while entry is not None and "teacher" in entry["recipe"]:
        entry = manifest(folder).get(entry["recipe"]["teacher"])
    return None if entry is None else entry["recipe"]["data"]


def load_shipped(name: str, folder: Path = WEIGHTS) -> nn.Module:
    """Load a shipped model: a trained QCFS network, in evaluation mode. Nothing is downloaded.

    Known to readers as `mstlib.load`.

    Args:
        name: One of `available()`.
        folder: Where the weights lie.

    Raises:
        ValueError: there is no model of that name.
        CheckpointError: its file is missing, or is not the one whose hash is on record.
    """
    known = manifest(folder)
    if name not in known:
        raise ValueError(f"no shipped model {name!r}; available: {', '.join(sorted(known))}")
    entry, path = known[name], folder / f"{name}.safetensors"
    if not path.exists():
        raise CheckpointError(f"{path.name} is missing; `make weights` trains it again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise CheckpointError(
            f"{path.name} is damaged or was altered: its SHA-256 is not the one on record; "
            "restore the file, or train it again with `make weights`"
        )
    return fill(load(content), entry["config"], entry["masking"], path.name)


def save_shipped(
    name: str, model: nn.Module, about: dict[str, object], folder: Path = WEIGHTS
) -> Path:
    """Write a trained model as a shipped one: the weights, and its entry in the manifest.

    Args:
        name: Its name.
        model: The network.
        about: What to note beside it (recipe, seed, measurements).
        folder: Where to write.

    Returns:
        The path of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({k: v.contiguous() for k, v in model.state_dict().items()})
    path = folder / f"{name}.safetensors"
    write_whole(path, content)
    masking = model.trained_masking
    entry = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "config": asdict(model.config),
        "masking": None if masking is None else asdict(masking),
        **about,
    }
    known = manifest(folder) | {name: entry}
    write_whole(folder / _MANIFEST, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return path


def open_model(
    source: str | Path, image_size: int | None = None, levels: int = LEVELS
) -> nn.Module:
    """Open any network, by its name or its place.

    Args:
        source: The name of a shipped model; ``official:NAME``, one of the authors' checkpoints (see
            `OFFICIAL` in `mstlib.checkpoints.official`); a ``.pth`` or ``.safetensors`` file in
            their layout; a folder that `mstlib.checkpoints.hub.save_model` wrote; or
            ``hf:OWNER/NAME``, such a folder on the Hugging Face hub, which is downloaded.
        image_size: See `load_official`; only for the authors' layout, as is the next.
        levels: See `load_official`.

    Returns:
        The network, in evaluation mode.

    Raises:
        CheckpointError: there is nothing of that name, or what is there cannot be read.
    """
    name = str(source)
    if name in manifest():
        return load_shipped(name)
    if name.startswith("hf:") or (Path(name) / "config.json").is_file():
        return load_model(source)
    if name.startswith("official:"):
        name = name.removeprefix("official:")
        find(name)  # says what is missing
    elif Path(name).suffix not in (".pth", ".safetensors"):
        raise CheckpointError(
            f"no model {name!r}: neither a shipped one ({', '.join(available())}), nor "
            f"official:NAME with NAME one of {', '.join(OFFICIAL)}, nor a .pth or .safetensors "
            "file, nor a folder with a config.json, nor hf:OWNER/NAME"
        )
    return load_official(name, image_size, levels)
