"""The plain definitions of chapter 12 give the same numbers as the library."""

import pickle
import pickletools

import pytest
import torch
from reading import definition
from torch import nn

from mstlib.models.swin import swin_tiny
from mstlib.qcfs import QCFS
from mstlib.scale.norms import SharedNorm

CHAPTER = "12_full_scale.ipynb"


@pytest.mark.parametrize("cut", [(40, 40), (64, 16), (10, 30, 40)])
def test_statistics_put_together_are_those_of_the_library_s_norm(cut, monkeypatch):
    """The library's norm adds up over processes; here the others' sums are handed to it."""
    together = definition(CHAPTER, "together")
    rows = torch.randn(80, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2
    shares = rows.split(cut)
    counts = torch.tensor(cut)
    mean, variance = together(
        counts,
        torch.stack([x.mean(0) for x in shares]),
        torch.stack([x.var(0, unbiased=False) for x in shares]),
    )
    norm = SharedNorm(6, momentum=1.0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 1)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda total: None)
    norm.train()(rows)
    assert torch.allclose(mean, norm.running_mean, atol=1e-5)
    assert torch.allclose(variance * 80 / 79, norm.running_var, rtol=1e-5)


@pytest.mark.parametrize("theta", [0.7, 1.0, 2.3])
def test_a_level_is_qcfs_without_its_factor(theta):
    level = definition(CHAPTER, "level", torch=torch)
    z = theta * torch.rand(1000, generator=torch.Generator().manual_seed(0))
    node = QCFS(16, theta).eval()
    assert torch.allclose(level(z, theta) * theta / 16, node(z), atol=1e-6)
    assert torch.equal(node(z.bfloat16()), node(z.bfloat16().float()))  # the floor in 32 bits


def test_sizes_are_those_of_the_network():
    from torch.utils.flop_counter import FlopCounterMode

    names = {"torch": torch, "QCFS": QCFS, "FlopCounterMode": FlopCounterMode}
    sizes = definition(CHAPTER, "sizes", **names)
    parameters, neurons, operations = sizes(swin_tiny(width=12, heads=(3, 3, 3, 3)))
    model = swin_tiny(width=12, heads=(3, 3, 3, 3))
    assert parameters == sum(p.numel() for p in model.parameters())
    assert neurons > 10**6 < operations


def test_what_a_pickle_asks_for_is_what_it_would_look_up(monkeypatch):
    asks_for = definition(CHAPTER, "asks_for", pickletools=pickletools)
    looked_up = []

    class Watched(pickle.Unpickler):
        def find_class(self, module, name):
            looked_up.append(f"{module}.{name}")
            return super().find_class(module, name)

    import io

    program = pickle.dumps({"a": nn.Identity, "b": torch.float32, "c": [1, "x"]}, protocol=2)
    Watched(io.BytesIO(program)).load()
    assert asks_for(program) == sorted(set(looked_up))
    assert asks_for(pickle.dumps([1, 2], protocol=2)) == []
