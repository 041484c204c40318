"""One table says of each spiking layer where it belongs and which mask its spikes meet."""

import re

import pytest
from tiny import tiny

import mstlib
from mstlib.explorers.base import STATIC
from mstlib.models.sites import BLOCK, layer_before, layer_names, mask_after, site_of

SNN = mstlib.convert(tiny())


def test_the_table_names_the_layers_of_the_network_in_order():
    assert layer_names(SNN.net.config.depths) == list(SNN.neurons)


@pytest.mark.parametrize("layer", SNN.neurons)
def test_spikes_meet_the_mask_that_the_table_says(layer):
    mask = mask_after(layer)
    if mask is not None:
        assert layer_before(mask) == layer
        assert SNN.masks[mask].kind == site_of(layer).module


def test_every_mask_is_in_the_table():
    assert {mask_after(layer) for layer in SNN.neurons} - {None} == set(SNN.masks)


def test_layers_that_are_called_alike_are_told_apart():
    assert site_of("patch_embed.proj_if").module == "embedding"
    assert site_of("layers.0.blocks.0.attn.proj_if").module == "attention"
    assert site_of("layers.0.downsample.reduction_if").module == "embedding"
    assert site_of("layer1.0.act1").module == "other"
    assert site_of("q_if").module == "other"  # a layer of another network


def test_the_view_of_the_live_explorer_has_words_for_every_layer():
    source = (STATIC / "network.js").read_text(encoding="utf-8")
    words = re.search(r"KINDS = \{(.*?)\};", source, re.DOTALL)[1]
    named = set(re.findall(r'([\w.]+)"?: "', words))
    assert named == {*BLOCK, "patch_embed.proj_if", "downsample.reduction_if"}


def test_the_engine_in_javascript_names_the_same_masks():
    source = (STATIC / "mst_engine.js").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:mask\("|name}\.)((?:mlp\.)?\w+_mask)', source))
    assert named == {site.mask.removeprefix("attn.") for site in BLOCK.values()} - {""}
