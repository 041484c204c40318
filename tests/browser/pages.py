"""The pages of the book, for tests that open each of them."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    """Every page's address, without its ending, in the order of the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


every_page = pytest.mark.parametrize("name", pages())
# For tests that leave a page as they find it: it is opened once for all of a module, as `page`.
on_every_page = pytest.mark.parametrize("page", pages(), indirect=True, scope="module")
