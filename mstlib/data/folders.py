"""CIFAR-10, CIFAR-100 and ImageNet, read by torchvision from files that the reader downloads.

Nothing here reaches the network. CIFAR comes as pickles, which could run code when opened:
torchvision first compares each file with the published MD5 sum, and a file that differs is
refused unopened. ImageNet's archives are verified in the same way before they are unpacked. Of a
stand-in (see `mstlib.data.standins`) there are no published sums: its pickles are first read by one
that builds arrays and nothing else.
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mstlib.data.checks import SPLITS
from mstlib.data.places import home, not_found, root_of, tell

_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_IMAGENET_PAGE = "https://image-net.org/download.php"
_IMAGENET_CLASSES = 1000
_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""


def dataset(
    name: str,
    split: str,
    root: str | Path | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    size: int | None = None,
) -> Any:
    """Open a stored set without loading its images.

    CIFAR's images keep their 32x32 pixels. ImageNet's are resized to 256 pixels on the shorter
    side and cropped to the middle 224x224; its "test" is the validation set, the one whose
    labels are public. With `size` both are resized by timm's transform, bicubic, CIFAR's whole
    image and the middle 7/8 of ImageNet's.

    Args:
        name: "cifar10", "cifar100" or "imagenet".
        split: "train" or "test".
        root: folder that holds the set's folder, see `mstlib.data.places`; None for the
            environment variable MST_DATA, or else ./data.
        mean: what to subtract from each channel of an image in [0, 1].
        std: what to divide each channel by.
        size: side of the images that it gives, or None for the above.

    Returns:
        A torchvision data set of (image, label) pairs.

    Raises:
        DataNotFound: files are missing.
        ValueError: files are not the published ones.
    """
    change = _change(name, mean, std, size)
    if name == "imagenet":
        return _imagenet(home(name, root), split, change)
    return _cifar(name, root_of(root), split, change)


def _change(name: str, mean: tuple[float, ...], std: tuple[float, ...], size: int | None) -> Any:
    """Make the function from a picture to a normalised image."""
    from torchvision import transforms

    if size is None:
        crop = [transforms.Resize(256), transforms.CenterCrop(224)] if name == "imagenet" else []
        return transforms.Compose([*crop, transforms.ToTensor(), transforms.Normalize(mean, std)])
    from timm.data import create_transform

    share = 0.875 if name == "imagenet" else 1.0
    return create_transform(
        (3, size, size), interpolation="bicubic", mean=mean, std=std, crop_pct=share
    )


def read(source: Any, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Read some images of a set that `dataset` opened.

    Args:
        source: the set.
        rows: which images, int64 (n,).

    Returns:
        Images, float32 (n, 3, height, width), normalised, and labels, int64 (n,).
    """
    pairs = [source[row] for row in rows.tolist()]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])


def classes(name: str) -> list[str]:
    """The names of the classes of a stored set, in the order of its labels."""
    if name == "imagenet":
        from torchvision.models import get_weight

        return list(get_weight("ResNet18_Weights.IMAGENET1K_V1").meta["categories"])
    return (_CIFAR10_CLASSES if name == "cifar10" else _CIFAR100_CLASSES).split()


def _cifar(name: str, root: Path, split: str, transform: Any) -> Any:
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity

    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    folder = home(name, root)
    marked = tell(name, root)
    published = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
    missing = [file for file in published if not (folder / file).is_file()]
    if missing:
        raise not_found(
            name,
            root,
            f"{folder.name} lacks {', '.join(missing)}",
            f"Download {kind.filename} from {_CIFAR_PAGE} and unpack it in that folder",
        )
    for file, md5 in published.items():
        if marked:
            _check_pickle(folder / file)
        elif not check_integrity(folder / file, md5):
            raise ValueError(
                f"{folder / file} is not the published file (its MD5 sum is not {md5}) and was "
                f"not opened. Download {kind.filename} again from {_CIFAR_PAGE}."
            )
    with warnings.catch_warnings():
        # NumPy 2.4.0 to 2.4.4 complain of how these files, written by Python 2, name a dtype.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed as")
        return (_unsummed(kind) if marked else kind)(root, split == "train", transform)


def _check_pickle(path: Path) -> None:
    """Read a pickle without running anything, and refuse what is more than plain data.

    Args:
        path: A file of CIFAR's: arrays, texts, numbers, lists and dictionaries.

    Raises:
        ValueError: it would build something else, or is damaged.
    """
    try:
        with path.open("rb") as file:
            _PlainData(file, encoding="latin1").load()
    except Exception as trouble:  # what a damaged pickle raises depends on where it is damaged
        raise ValueError(f"{path} holds more than plain data, or is damaged: {trouble}") from None


class _PlainData(pickle.Unpickler):
    """Builds arrays, and nothing else that has a name."""

    allowed = (
        *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _unsummed(kind: type) -> type:
    """Return one of torchvision's classes without the sums of its files."""
    lists = {
        f"{part}_list": [[f, None] for f, _ in getattr(kind, f"{part}_list")] for part in SPLITS
    }
    return type(kind.__name__, (kind,), lists | {"meta": kind.meta | {"md5": None}})


def _imagenet(place: Path, split: str, transform: Any) -> Any:
    from torchvision import datasets

    tell("imagenet", place.parent)
    part = "train" if split == "train" else "val"
    folder = place / part
    if not folder.is_dir():
        _unpack(place, part)
    found = sum(entry.is_dir() for entry in folder.iterdir())
    if found != _IMAGENET_CLASSES:
        # A missing folder would shift the label of every class behind it.
        raise ValueError(
            f"{folder} holds {found} class folders instead of {_IMAGENET_CLASSES}. If unpacking "
            "was interrupted, remove the folder and load again."
        )
    return datasets.ImageFolder(folder, transform=transform)


def _unpack(place: Path, part: str) -> None:
    from torchvision import datasets

    archives = ["ILSVRC2012_devkit_t12.tar.gz", f"ILSVRC2012_img_{part}.tar"]
    missing = [archive for archive in archives if not (place / archive).is_file()]
    if missing:
        raise not_found(
            "imagenet",
            place,
            f"no folder {part} of images, and no archive {' and '.join(missing)} to make it from",
            f"Register at {_IMAGENET_PAGE}, download the archives of ILSVRC2012 and put them "
            "there, unopened",
        )
    try:
        datasets.ImageNet(place, split=part)
    except RuntimeError as error:
        raise ValueError(
            f"an archive in {place} is not the published one: {error} Download it again from "
            f"{_IMAGENET_PAGE}."
        ) from error
