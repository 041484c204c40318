"""Networks that fail in the middle of a run, and the hooks that are left on them."""

import pytest
from torch import nn

from mstlib.models.swin import MaskedSpikingTransformer


def hooks_left(job, monkeypatch):
    """Do a job while every network fails; return the layers that a hook was put on and is still.

    Copies that the job made for itself are looked at, too.
    """
    hooked = []

    def noted(register):
        def noting(module, *arguments, **more):
            hooked.append(module)
            return register(module, *arguments, **more)

        return noting

    for name in ("register_forward_hook", "register_forward_pre_hook"):
        monkeypatch.setattr(nn.Module, name, noted(getattr(nn.Module, name)))

    def fail(module, images):
        assert hooked, "nothing watches this network"
        raise RuntimeError("half-way")

    monkeypatch.setattr(MaskedSpikingTransformer, "forward", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        job()
    return [m for m in hooked if m._forward_hooks or m._forward_pre_hooks]
