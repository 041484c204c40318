"""The authors' published checkpoints: which there are, and how to read one without running it.

Each is a ``.pth``, which is a pickle: a program that builds objects when it is opened. Beside the
weights it holds the state of the optimiser and the settings of the training, as an object of a
package (``yacs``) that readers need not have. It is read by PyTorch's restricted reader, which
knows tensors and plain containers; the settings come out as a dictionary that does nothing.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mstlib.checkpoints.state_dicts import CheckpointError, fill, plain, read_safetensors, shown
from mstlib.masking import Masking

if TYPE_CHECKING:
    from mstlib.models.swin import MaskedSpikingTransformer

_RELEASES = "https://github.com/bic-L/Masked-Spiking-Transformer/releases/download"
LEVELS = 16  # L in the authors' code; no file says it


@dataclass(frozen=True)
class Official:
    """One published checkpoint.

    Attributes:
        data: Name of the data set, see `mstlib.data`.
        classes: How many it tells apart.
        ratio: Mask ratio of Q, K and A in its training.
        folder: Of the release that holds it.
        file: Its name there.
    """

    data: str
    classes: int
    ratio: float
    folder: str
    file: str

    @property
    def address(self) -> str:
        """Where it can be downloaded."""
        return f"{_RELEASES}/{self.folder}/{self.file}"


OFFICIAL = {
    name + ("-75" if ratio else ""): Official(name, classes, ratio, folder, file)
    for name, classes, files in (
        ("cifar10", 10, ("Cifar10", "cifar10_75._masking_ratio")),
        ("cifar100", 100, ("Cifar100", "Cifar100_75._masking_ratio")),
        ("imagenet", 1000, ("imagenet", "imagenet_75._masking_ratio")),
    )
    for ratio, folder, file in (
        (0.0, "checkpoint", f"{files[0]}_checkpoint.pth"),
        (0.75, "checkpoint_with_mask", f"{files[1]}_checkpoint.pth"),
    )
}


def _known(name: str) -> Official:
    if name not in OFFICIAL:
        raise CheckpointError(f"the authors published no {name!r}; there are {', '.join(OFFICIAL)}")
    return OFFICIAL[name]


def find(name: str, folder: str | Path | None = None) -> Path:
    """Return the file of a published checkpoint.

    Args:
        name: One of `OFFICIAL`.
        folder: Where it was put; ``None`` for the environment variable MST_CHECKPOINTS, or else
            ./checkpoints.

    Raises:
        CheckpointError: there is none of that name, or it has not been downloaded; the message
            says from where, and where to put it.
    """
    known = _known(name)
    place = Path(folder or os.environ.get("MST_CHECKPOINTS", "checkpoints"))
    path = place / known.file
    if not path.is_file():
        raise CheckpointError(
            f"the authors' {name} is not in {place.resolve()}: download {known.address} "
            "and put it there (or name another folder by the environment variable MST_CHECKPOINTS)"
        )
    return path


def load_official(
    source: str | Path | Mapping[str, Tensor],
    image_size: int | None = None,
    levels: int = LEVELS,
    masking: Masking | None = None,
) -> MaskedSpikingTransformer:
    """Load weights in the layout of the authors' published checkpoints.

    Widths, depths, heads, window and the MLP's variant are read off the shapes. The variant of the
    graph is that of their code: position bias and softmax, LayerNorm before the head, and the
    second residual on the normalised input. The mask ratio of the training comes from the settings
    that the file holds, and is checked against what is known of a published one.

    Args:
        source: A name of `OFFICIAL`, a ``.pth`` or ``.safetensors`` file, or a state dict.
        image_size: Side of the images; ``None`` to tell it from the masks of shifted windows or
            from the settings, which a published file holds both, or else 32.
        levels: L of QCFS; the weights do not tell it.
        masking: What the model was trained with; ``None`` for what the file says. If the two
            differ, this one holds, with a warning.

    Returns:
        The network, in evaluation mode, with `trained_masking` set if it was masked.

    Raises:
        CheckpointError: the file is missing, damaged, would run code, or has another layout; its
            tensors are not ordinary ones; a threshold is not positive; or a published file was not
            trained with the ratio, or for the classes, that its name says.
    """
    official = OFFICIAL.get(source) if isinstance(source, str) else None
    path = None if isinstance(source, Mapping) else find(source) if official else Path(source)
    named = "the state dict" if path is None else path.name
    weights, settings = (source, {}) if path is None else _read(path)
    state, shifted = _ours(plain(weights, named), named)
    if image_size is None:
        told = (shifted, _setting(settings, "DATA", "IMG_SIZE"), 32)
        image_size = next(size for size in told if size is not None)
    if type(image_size) is not int or image_size < 1:
        raise CheckpointError(f"{named}: images cannot have a side of {shown(image_size)} pixels")
    config = _infer_config(state, image_size, levels, named)
    if official and config["classes"] != official.classes:
        raise CheckpointError(
            f"{named} tells {config['classes']} classes apart, and the authors' {source} "
            f"{official.classes}: it is another file"
        )
    masking = _trained_with(settings, official, masking, named)
    return fill(state, config, asdict(masking) if masking else None, named)


def to_official(model: MaskedSpikingTransformer) -> dict[str, Tensor]:
    """Return the weights of a network under the names of the authors' checkpoints.

    Args:
        model: A network of their variant of the graph (see `load_official`), not converted.

    Returns:
        A state dict that `load_official` reads back, masks of shifted windows included.
    """
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith("_if.threshold"):
            name, value = name.removesuffix("threshold") + "up", value.reshape(1)
        state[name] = value
    for name, module in model.named_modules():
        if name.endswith(".attn") and module.apart is not None:
            mask = torch.zeros(module.apart.shape).masked_fill(module.apart, -100.0)
            state[f"{name.removesuffix('.attn')}.attn_mask"] = mask
    return state


def write_standin(name: str, folder: str | Path, width: int = 12) -> Path:
    """Write a thin random network where a published checkpoint belongs, to rehearse its use.

    Args:
        name: One of `OFFICIAL`.
        folder: See `find`.
        width: Channels of the first stage, a multiple of 3; the published ones have 96.

    Returns:
        The path of the file. What is measured with it means nothing.

    Raises:
        CheckpointError: the authors published none of that name.
        FileExistsError: there is a file of that name already.
    """
    from mstlib.models.swin import swin_tiny
    from mstlib.train import calibrate, initialise

    known = _known(name)
    path = Path(folder) / known.file
    if path.exists():
        raise FileExistsError(f"{path} is there already: it may be the published one")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = swin_tiny(
            known.classes, known.data == "imagenet", width=width, heads=(3,) * 4, levels=None
        )
        initialise(model)
        calibrate(model, torch.randn(4, *model.input_shape), LEVELS)
    settings = {
        "DATA": {"IMG_SIZE": model.config.image_size},
        "MODEL": {"MST": {"MASKING_RATIO": known.ratio}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": to_official(model), "config": settings}, path)
    return path


def _ours(weights: dict[str, Tensor], named: str) -> tuple[dict[str, Tensor], int | None]:
    """Rename the parameters to ours; return also the side of the images, if a mask tells it."""
    state, side = {}, None
    for name, value in weights.items():
        name = name.removeprefix("module.")
        if name == "layers.0.blocks.1.attn_mask" and value.ndim == 3:
            # One mask of n×n tokens for each window of an image.
            side = math.isqrt(value.shape[0]) * math.isqrt(value.shape[1])
        if name.endswith(("attn_mask", "relative_position_index")):
            continue  # derived from the shape, not learned
        if name.endswith("_if.up"):
            if value.numel() != 1:
                raise CheckpointError(f"{named}: {name} must be one number, not {value.numel()}")
            name, value = name.removesuffix("up") + "threshold", value.reshape(())
        state[name] = value
    patches = state.get("patch_embed.proj.weight")
    return state, None if side is None or patches is None else side * patches.shape[-1]


def _infer_config(
    state: dict[str, Tensor], image_size: int, levels: int, named: str
) -> dict[str, object]:
    """Read the shape of the network off the shapes of its weights."""
    try:
        width, channels, patch, _ = state["patch_embed.proj.weight"].shape
        numbers = [re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", name) for name in state]
        blocks = {(int(m[1]), int(m[2])) for m in numbers if m}
        depths = Counter(stage for stage, _ in blocks)
        stages = range(len(depths))
        first = "layers.{}.blocks.0.attn.relative_position_bias_table"
        tables = [state[first.format(stage)].shape for stage in stages]
        heads = [heads for _, heads in tables]
        window = max((math.isqrt(rows) + 1) // 2 for rows, _ in tables)
        hidden, _ = state["layers.0.blocks.0.mlp.fc1.weight"].shape
        classes, _ = state["head.weight"].shape
        if min(width, channels, patch, window, hidden, classes, *heads) < 1:
            raise ValueError("a layer without a neuron")
    except (KeyError, ValueError) as trouble:
        raise CheckpointError(
            f"{named} is not in the layout of the authors' checkpoints: {str(trouble)[:80]}"
        ) from None
    return {
        "image_size": image_size,
        "patch_size": patch,
        "in_channels": channels,
        "classes": classes,
        "width": width,
        "depths": [depths[stage] for stage in stages],
        "heads": heads,
        "window": window,
        "mlp_ratio": hidden / width,
        "levels": levels,
        "attention": "softmax",
        "mlp_norm": "layers.0.blocks.0.mlp.norm1.weight" in state,
        "final_norm": "layer",
        "residual": "norm",
    }


def _trained_with(
    settings: Mapping, official: Official | None, given: Masking | None, named: str
) -> Masking | None:
    """Decide which masks a network was trained with, from all that tells it."""
    told = _setting(settings, "MODEL", "MST", "MASKING_RATIO")
    if told is not None and not (isinstance(told, int | float) and 0 <= told < 1):
        raise CheckpointError(
            f"{named}: its settings have the mask ratio {shown(told)}, not in [0, 1)"
        )
    if given is not None:
        if told is not None and given != Masking(attention=float(told)):
            warnings.warn(
                f"{named} was trained with a mask ratio of {told:g}, by its own settings, and is "
                f"taken as trained with {given}",
                stacklevel=3,
            )
        return given
    if official and told is not None and told != official.ratio:
        raise CheckpointError(
            f"{named} should have been trained with a mask ratio of {official.ratio:g}, and its "
            f"settings say {told:g}: it may be another file; pass masking= to decide"
        )
    ratio = official.ratio if told is None and official else told
    return Masking(attention=float(ratio)) if ratio else None


def _setting(settings: Mapping, *names: str) -> object:
    """Return one of the settings of a training, or ``None`` if it is not there.

    The methods are those of the class: a file can give its own objects others.
    """
    found: object = settings
    for name in names:
        found = dict.get(found, name) if isinstance(found, dict) else None
    return found


class _Nothing:
    """In the place of a NumPy number, such as the best accuracy so far: it is not needed."""

    def __init__(self, *parts: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_STANDING_IN = [
    (OrderedDict, "yacs.config.CfgNode"),  # the settings: a dictionary with methods of its own
    *((_Nothing, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    (_Nothing, "numpy.dtype"),
]


def _read(path: Path) -> tuple[dict[str, Tensor], Mapping]:
    """Read weights and settings from a file without running anything that it may hold."""
    if path.suffix == ".safetensors":
        return read_safetensors(path), {}
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    try:
        with torch.serialization.safe_globals(_STANDING_IN), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how others wrote it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as trouble:
        # No more of PyTorch's message: it goes on to say how to run what was refused.
        asked = re.search(r"GLOBAL (\S+) (?:was not|whose)", str(trouble))
        reason = f" (it asks for {shown(asked[1])})" if asked else ""
        raise CheckpointError(
            f"{path.name} holds more than tensors and settings, and reading it would run code, or "
            f"is damaged: refused{reason}"
        ) from None
    except OSError as trouble:
        raise CheckpointError(f"{path} cannot be read: {trouble.strerror or trouble}") from None
    except Exception as trouble:  # what a damaged pickle raises depends on where it is damaged
        kind = type(trouble).__name__
        raise CheckpointError(f"{path.name} is damaged or truncated ({kind})") from None
    settings = {}
    if isinstance(_setting(content, "model"), dict):
        settings = dict.get(content, "config", settings)
        content = dict.get(content, "model")
    if not (isinstance(content, dict) and all(map(torch.is_tensor, dict.values(content)))):
        raise CheckpointError(f"{path.name} is not a state dict (names and their tensors)")
    return dict(dict.items(content)), settings
