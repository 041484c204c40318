"""The plain definitions of chapter 5 give the same numbers as the library."""

import pytest
import torch
from reading import definition
from timm.models.swin_transformer import window_partition, window_reverse
from tiny import tiny

NOTEBOOK = "05_masked_spiking_transformer.ipynb"


def test_windows_are_those_of_swin():
    to_windows = definition(NOTEBOOK, "to_windows")
    from_windows = definition(NOTEBOOK, "from_windows")
    grid = torch.arange(2 * 6 * 6 * 5).view(2, 6, 6, 5)
    parts = to_windows(grid, 3)
    assert torch.equal(parts, window_partition(grid, (3, 3)).flatten(1, 2))
    assert torch.equal(from_windows(parts, 3, 6), grid)
    assert torch.equal(window_reverse(parts.view(-1, 3, 3, 5), (3, 3), 6, 6), grid)


@pytest.mark.parametrize("form", ["softmax", "pure"])
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_is_the_library_s(form, shifted):
    plain = definition(NOTEBOOK, "attention", torch=torch)
    node = definition(NOTEBOOK, "qcfs_node", torch=torch)
    block = tiny(attention=form).double().blocks[int(shifted)]
    layer, apart = block.attn, block.attn.apart
    bias = None
    if form == "softmax":
        bias = definition(NOTEBOOK, "position_bias")(layer)
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(8, 4, 12, generator=draw) < 0.5).double()  # 2 images of 4 windows
    repeated = None if apart is None else apart[:, None].repeat(2, 1, 1, 1)
    with torch.no_grad():
        mine, theirs = plain(x, layer, node(layer), bias, repeated), layer(x)
    assert mine.any()
    assert (apart is not None) == shifted
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
