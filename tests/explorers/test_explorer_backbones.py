"""The explorer of masked backbones: what it stores, what it says, what it refuses."""

import copy

import pytest
import traitlets
from desk import say, static
from explorer_samples import BACKBONES, explorers
from playwright.sync_api import expect

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


# ---- in a browser ----


def test_the_ratio_of_the_backbones_moves_and_is_said(desk):
    with desk.open(static(explorers()["backbones"])) as page:
        said = page.locator(".mst-say")
        expect(said).to_contain_text("resnet-digits, p = 0.75: student 39.0 %")
        page.get_by_role("slider").press("Home")
        expect(said).to_contain_text("p = 0: student 99.0 % ± 0.0 %")
        expect(said).to_contain_text("emitted 100 %, delivered 100 %")
        page.get_by_role("combobox").select_option("vgg-digits")
        expect(said).to_contain_text("vgg-digits, p = 0")


def test_the_backbones_stand_in_one_picture_with_the_transformer(desk):
    with desk.open(static(explorers()["backbones"])) as page:
        curves, spikes = page.locator(".mst-panel svg[role=img]").all()
        assert curves.locator("path:is(.mst-dashed, .mst-dotted)").count() == 2  # VGG, MST
        said = curves.get_attribute("aria-label")
        for name, rows in BACKBONES.items():
            last = f"{100 * rows[-1]['accuracy']:.1f} % at p = 0.75"
            assert last in said.split(f"{name}: ")[1].split(". ")[0]
        assert "At the same p: vgg-digits 69.0 %, mst-digits 91.5 %." in say(page)
        page.get_by_role("combobox").select_option("mst-digits")
        assert "At the same p: resnet-digits 39.0 %, vgg-digits 69.0 %." in say(page)
        for kind in ("thick", "bar"):  # emitted, delivered: a stroke for each layer
            assert spikes.locator(f".mst-{kind}").count() == 3
        assert "first: 42.5 emitted, 12.5 delivered" in spikes.get_attribute("aria-label")
