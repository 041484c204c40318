"""An explorer that carries its script as text, as a class made in a notebook does."""

import re
from html.parser import HTMLParser

import pytest
import traitlets
from inline_sample import SCRIPT, MultiplesExplorer

from mstlib.explorers import NeuronExplorer
from mstlib.explorers.base import Explorer


class Elements(HTMLParser):
    """The start tags of a text, and what stands in its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        if self.tags[-1] == "script":
            self.scripts.append(data)


def test_the_module_holds_the_parts_and_the_script():
    explorer = MultiplesExplorer(factor=3)
    assert explorer._esm.startswith("// The parts every explorer is made of")
    assert SCRIPT in explorer._esm
    assert explorer._esm.endswith("export default globalThis.mstExplorers.views.multiples;\n")
    assert ".mst-explorer" in explorer._css
    assert repr(explorer) == "MultiplesExplorer(factor=3)"


def test_the_page_gets_the_script_behind_the_explorer():
    text = MultiplesExplorer().to_html()
    elements = Elements(text)
    assert elements.tags[0] == "div"
    assert elements.tags.count("script") == 1
    assert elements.tags[-1] == "script"
    assert "".join(elements.scripts).count("views.multiples = { render }") == 1
    # Nothing in the script opens or closes anything in the page.
    assert len(re.findall("</script", text, re.IGNORECASE)) == 1
    assert "<!--" not in text
    assert text == MultiplesExplorer().to_html()


def test_explorers_with_a_file_bring_no_script():
    assert "<script" not in NeuronExplorer().to_html()


def test_a_subclass_keeps_the_script():
    class Other(MultiplesExplorer):
        pass

    assert Other._esm == MultiplesExplorer._esm
    assert "<script>" in Other().to_html()


def test_settings_are_checked():
    with pytest.raises(traitlets.TraitError, match="factor must be a whole number from 1 to 9"):
        MultiplesExplorer(factor=10)


def test_a_view_without_script_or_file_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.js"):

        class Lost(Explorer):
            _view = "nowhere"
            _script = None
