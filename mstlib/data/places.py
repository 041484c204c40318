"""Where the sets lie that a reader downloads, and whether a stand-in lies in the place of one."""

import os
import warnings
from pathlib import Path

# The folders of the photographs. Those of the published event sets are called as the sets are.
FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "imagenet": "imagenet",
}
MARKER = "STAND-IN.txt"


class DataNotFound(FileNotFoundError):
    """A data set is not on this machine; the message says what to download and where to put it."""


class StandInWarning(UserWarning):
    """A stand-in is read in the place of a published set."""


def root_of(root: str | Path | None) -> Path:
    """The folder of all sets: the one given, or that of the variable MST_DATA, or else ./data."""
    return Path(root or os.environ.get("MST_DATA", "data"))


def home(name: str, root: str | Path | None = None) -> Path:
    """The folder of a set within that of all sets, see `root_of`."""
    return root_of(root) / FOLDERS.get(name, name)


def not_found(name: str, place: Path, why: str, remedy: str) -> DataNotFound:
    """Say of a set what is missing and what to do, without a full stop at the end of either."""
    return DataNotFound(
        f"{name} is not in {place.resolve()}: {why}. {remedy} (or name another place by root= or "
        "by the environment variable MST_DATA)."
    )


def is_standin(name: str, root: str | Path | None = None) -> bool:
    """Say whether the folder of a set, any set, holds a stand-in."""
    return (home(name, root) / MARKER).is_file()


def tell(name: str, root: str | Path | None = None) -> bool:
    """Warn if the folder of a set holds a stand-in; return whether it does."""
    marked = is_standin(name, root)
    if marked:
        warnings.warn(
            f"{home(name, root)} holds a stand-in for {name}: what is measured on it means nothing",
            StandInWarning,
            stacklevel=4,
        )
    return marked
