"""The explorer of masked backbones: what it stores, says without JavaScript, and refuses."""

import copy

import pytest
import traitlets
from explorer_samples import BACKBONES

from mstlib.explorers import BackbonesExplorer


def changed(**values):
    curves = copy.deepcopy(BACKBONES)
    curves["vgg-digits"][1] |= values
    return curves


def test_rounds_and_tells_all_in_its_table():
    explorer = BackbonesExplorer(BACKBONES)
    assert explorer.network == "resnet-digits"
    assert explorer.curves["resnet-digits"][1]["sd"] == 0.0031
    html = explorer.to_html()
    assert 'data-widget="backbones"' in html
    assert "vgg-digits: accuracy and spikes by mask ratio" in html
    assert "<td>170</td><td>270</td>" in html  # spikes of all layers at p = 0


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "at least one network"),
        (changed(accuracy=1.2), "accuracy of 'vgg-digits' at 0.25 must be 0 to 1, not 1.2"),
        (changed(ratio=0.5), "ratios of 'vgg-digits' must increase"),
        (changed(emitted=[1.0]), "one number for each layer"),
        (changed(delivered=[1.0, -1.0, 0.0]), "finite and >= 0"),
        (changed(colour="red"), "a row of 'vgg-digits' must have"),
    ],
)
def test_refuses_curves_that_are_not_so(curves, message):
    with pytest.raises(traitlets.TraitError, match=message):
        BackbonesExplorer(curves)


def test_refuses_an_unknown_network_or_ratio():
    with pytest.raises(traitlets.TraitError, match="network must be among"):
        BackbonesExplorer(BACKBONES, network="alexnet")
    with pytest.raises(traitlets.TraitError, match="ratio must be a number"):
        BackbonesExplorer(BACKBONES, ratio=1.5)
