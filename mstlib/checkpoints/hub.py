"""Networks in the form of the Hugging Face hub: a folder, here or there, that explains itself.

The folder holds the weights (``model.safetensors``), the shape of the network and how it was
trained (``config.json``), and a page for the reader (``README.md``). Nothing reaches the network
unless a name on the hub is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mstlib._version import __version__
from mstlib.checkpoints.files import write_whole
from mstlib.checkpoints.state_dicts import CheckpointError, fill, read_safetensors, shown

if TYPE_CHECKING:
    from torch import nn

TYPE = "masked-spiking-transformer"
_PARTS = ("network", "masking", "about")
_SIDE = 32
_FILES = ("model.safetensors", "config.json", "README.md")
_PAPER = "https://openaccess.thecvf.com/content/ICCV2023/html/Wang_Masked_Spiking_Transformer_ICCV_2023_paper.html"


def save_model(
    model: nn.Module, folder: str | Path, about: Mapping[str, object] | None = None
) -> Path:
    """Write a network as a folder in the form of the hub.

    Args:
        model: A network of `mstlib.models.build`, trained or not, not converted.
        folder: Where to write; made if need be, and what it holds of an older network replaced.
        about: What to note beside it, as JSON can hold it: ``data``, ``recipe``, ``seed``,
            ``accuracy``, ``license``, ….

    Returns:
        The folder.

    Raises:
        ValueError: the network does not say how it was built, or `about` is not JSON.
    """
    from safetensors.torch import save

    if not hasattr(model, "config"):
        raise ValueError(
            f"a {type(model).__name__} does not say how it was built: only networks of "
            "mstlib.models can be saved, before they are converted"
        )
    folder = Path(folder)
    weights = save({k: v.contiguous() for k, v in model.state_dict().items()})
    masking = model.trained_masking
    config = {
        "model_type": TYPE,
        "mstlib": __version__,
        "network": asdict(model.config),
        "masking": None if masking is None else asdict(masking),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "about": dict(about or {}),
    }
    try:
        text = json.dumps(config, indent=1, sort_keys=True)
    except TypeError as trouble:
        raise ValueError(f"about must be what JSON can hold: {trouble}") from None
    folder.mkdir(parents=True, exist_ok=True)
    contents = (weights, f"{text}\n".encode(), _card(config).encode())
    for name, content in zip(_FILES, contents, strict=True):
        write_whole(folder / name, content)
    return folder


def load_model(source: str | Path) -> nn.Module:
    """Read a network from a folder that `save_model` wrote, here or on the hub.

    Args:
        source: The folder, or ``hf:OWNER/NAME`` for one on the hub, which is downloaded to the
            hub's own cache (``HF_HOME``) if it is not there yet.

    Returns:
        The network, in evaluation mode, with `trained_masking` as it was trained.

    Raises:
        CheckpointError: no such folder; a file is missing or damaged; or it is a network of
            another kind.
    """
    folder = _downloaded(source) if str(source).startswith("hf:") else Path(source)
    config = read_config(folder)
    path = folder / "model.safetensors"
    state = read_safetensors(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != config.get("sha256"):
        raise CheckpointError(
            f"{path} is not the file that config.json was written for (its SHA-256 differs): it "
            "was altered, or its writing was interrupted; save or download it again"
        )
    return fill(state, config["network"], config["masking"], str(folder))


def read_config(folder: str | Path) -> dict[str, object]:
    """Read what a folder says of its network: ``network``, ``masking``, ``about``, ….

    Whoever wrote the folder chose what is in ``about``: only that it is a dictionary is certain.

    Raises:
        CheckpointError: it is missing or damaged, or the network is of another kind.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CheckpointError(f"no network in {folder}: it has no config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (RecursionError, ValueError) as trouble:
        raise CheckpointError(f"{path} is damaged: {trouble}") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != TYPE or not {"network", "masking"} <= config.keys():
        raise CheckpointError(
            f"{path} is of a network of another kind, {shown(kind)}, not {TYPE!r}"
        )
    config.setdefault("about", {})
    for name in ("network", "about") if config["masking"] is None else _PARTS:
        if not isinstance(config[name], dict):
            raise CheckpointError(
                f"{path} is damaged: {name} should be a dictionary, not {shown(config[name])}"
            )
    return config


def events_side(name: str | Path) -> int:
    """Return how many cells a frame of events had along each side when a network was trained.

    Args:
        name: See `mstlib.checkpoints.open_model`.

    Returns:
        What the network's folder tells of its recipe, or 32 if it is in no folder here or tells
        nothing.

    Raises:
        CheckpointError: the folder cannot be read, or what it tells is no number of cells.
    """
    found: object = read_config(name) if (Path(name) / "config.json").is_file() else None
    for part in ("about", "recipe", "events", "side"):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None:
        return _SIDE
    if type(found) is not int or found < 1:
        raise CheckpointError(
            f"{name}: about.recipe.events.side must be a whole number >= 1, not {shown(found)}"
        )
    return found


def push_model(folder: str | Path, name: str, private: bool = True) -> str:
    """Upload a folder that `save_model` wrote to the hub, as the user who is logged in there.

    Args:
        folder: What to upload; its weights are read and checked first.
        name: ``OWNER/NAME``; made if it does not exist.
        private: Whether only the owner can see a new one.

    Returns:
        The address of its page.

    Raises:
        CheckpointError: the folder cannot be read.
        OSError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    load_model(folder)
    api = HfApi()
    page = api.create_repo(name, private=private, exist_ok=True)
    api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(_FILES))
    return str(page)


def _downloaded(source: str | Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = str(source).removeprefix("hf:")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (HFValidationError, HfHubHTTPError, OSError) as trouble:
        raise CheckpointError(f"{name} cannot be had from the hub: {trouble}") from None


def _card(config: Mapping[str, object]) -> str:
    """Return the page of a network, with what the hub wants to know of it on top."""
    from huggingface_hub import ModelCardData

    about, masking = config["about"], config["masking"]
    facts = ModelCardData(
        license=about.get("license"),
        library_name="mstlib",
        pipeline_tag="image-classification",
        tags=[TYPE, "spiking-neural-network", "spiking-transformer"],
        datasets=[about["data"]] if "data" in about else None,
    )
    ratios = {k: v for k, v in (masking or {}).items() if v}
    masked = (
        f"It was trained with random spike masking, {ratios}: simulate it with the same masks, "
        "since they are not rescaled and its scores depend on them."
        if ratios
        else "It was trained without masks."
    )
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in sorted(about.items()))
    table = f"\n| | |\n|---|---|\n{rows}\n" if rows else ""
    return f"""---
{facts.to_yaml()}
---

# A masked spiking transformer

A network with QCFS activations, which `mstlib` turns into integrate-and-fire neurons. {masked}

```python
import mstlib
from mstlib.checkpoints.hub import load_model

ann = load_model("PATH OF THIS FOLDER, OR hf:OWNER/NAME")
run = mstlib.simulate(mstlib.convert(ann), images, steps=64, masking=ann.trained_masking)
```
{table}
The architecture is that of [Masked Spiking Transformer]({_PAPER}) (Wang et al., ICCV 2023).
"""


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
