"""Every page of the built book, in a real browser."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


every_page = pytest.mark.parametrize("name", pages())


def test_search_finds_a_page(book):
    with book.open("search", query="?q=threshold") as page:
        page.locator("#search-results li a").first.wait_for()
        assert "Notation" in page.locator("#search-results").inner_text()


def test_search_opens_from_the_keyboard(book):
    with book.open("book/intro") as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("soft reset")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=soft+reset")
        page.locator("#search-results li a").first.wait_for()


def test_dark_mode_can_be_chosen_and_is_kept(book):
    with book.open("book/intro", mode="light") as page:
        for _ in range(3):
            if page.locator("html").get_attribute("data-theme") == "dark":
                break
            page.locator(".theme-switch-button:visible").first.click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.reload()
        assert page.locator("html").get_attribute("data-theme") == "dark"
