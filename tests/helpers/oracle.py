"""The whole spiking transformer once more, in exact fractions and plain loops over time.

Shares no code with the library: its own windows, masks and neurons. Works for networks whose
weights are dyadic numbers and whose attention is pure (no softmax), where float64 is exact too.
"""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import torch

from mstlib.models.layers import TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.qcfs import QCFS

HALF = Fraction(1, 2)


def dyadic_network(seed: int, levels: int = 4) -> MaskedSpikingTransformer:
    """A tiny pure-attention network of dyadic numbers: 2 blocks on 4×4 tokens, 1 on 2×2."""
    config = SwinConfig(
        image_size=8, patch_size=2, in_channels=1, classes=3, width=4, depths=(2, 1),
        heads=(1, 2), window=2, mlp_ratio=2, levels=levels, attention="pure",
    )  # fmt: skip
    draw = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int, like: torch.Tensor) -> torch.Tensor:
        return torch.randint(low, high + 1, like.shape, generator=draw).to(like)

    model = MaskedSpikingTransformer(config).double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, TokenNorm):
                module.eps = 0.0
                module.weight.copy_(whole(2, 6, module.weight) / 4)
                module.bias.copy_(whole(-1, 4, module.bias) / 8)
                module.running_mean.copy_(whole(-2, 2, module.running_mean) / 8)
                module.running_var.copy_(4.0 ** whole(-1, 0, module.running_var))
            elif isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                module.weight.copy_(whole(-4, 6, module.weight) / 8)
                if module.bias is not None:
                    module.bias.copy_(whole(-2, 3, module.bias) / 8)
        for name, module in model.named_modules():
            if isinstance(module, QCFS):
                low, high = (1, 2) if name.endswith(("attn_if", "attn_v_if")) else (2, 6)
                module.threshold.copy_(whole(low, high, module.threshold) / 4)
    return model


def mix(h: int) -> int:
    h = (h ^ h >> 16) * 0x7FEB352D & 0xFFFFFFFF
    h = (h ^ h >> 15) * 0x846CA68B & 0xFFFFFFFF
    return h ^ h >> 16


def mask_number(seed: int, site: int, step: int, image: int, unit: int) -> int:
    """The random whole number below 2^24 of one spike."""
    h = mix((seed & 0x7FFFFFFF) + 0x5BD1E995 & 0xFFFFFFFF)
    for what in (site, step, image, unit):
        h = mix(h ^ what)
    return h >> 8


class Oracle:
    """Shows one image to the network of `ann`, step by step.

    Attributes:
        spikes: {layer: one list of 0 and 1 a step}.
        delivered: {mask that drops spikes: spikes that passed}.
        ties: how often a potential was exactly θ.
    """

    def __init__(self, ann, image_number=0, masking=None, seed=0):
        fractions = np.vectorize(Fraction, otypes=[object])
        self.p = {
            name: fractions(value.detach().double().numpy())
            for name, value in ann.state_dict().items()
        }
        self.ann, self.image, self.seed = ann.config, image_number, seed
        self.ratios = {"attention": 0.0, "mlp": 0.0}
        if masking is not None:
            self.ratios = {"attention": masking.attention, "mlp": masking.mlp}
        self.blocks = None if masking is None else masking.blocks
        self.v, self.step, self.ties = {}, 0, 0
        self.spikes, self.delivered = defaultdict(list), defaultdict(int)

    def show(self, image, steps):
        """image (channels, height, width) as fractions; logits, one list of fractions a step."""
        logits = []
        for self.step in range(steps):
            logits.append(list(self._network(image)))
        return logits

    def _network(self, image):
        c = self.ann
        side = c.image_size // c.patch_size
        kernel = self.p["patch_embed.proj.weight"].reshape(c.width, -1)
        tokens = np.array(
            [
                [
                    kernel @ image[:, y : y + c.patch_size, x : x + c.patch_size].reshape(-1)
                    for x in range(0, c.image_size, c.patch_size)
                ]
                for y in range(0, c.image_size, c.patch_size)
            ]
        )
        x = tokens + self.p["patch_embed.proj.bias"]
        x = self._fire("patch_embed.proj_if", self._norm("patch_embed.norm", x))
        block = 0
        for stage, depth in enumerate(c.depths):
            for i in range(depth):
                x = self._block(f"layers.{stage}.blocks.{i}", x, c.heads[stage], i % 2, block)
                block += 1
            if stage < len(c.depths) - 1:
                name = f"layers.{stage}.downsample"
                x = np.concatenate(
                    [x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], axis=-1
                )
                x = self._norm(f"{name}.norm", x) @ self.p[f"{name}.reduction.weight"].T
                x, side = self._fire(f"{name}.reduction_if", x), side // 2
        x = self._norm("norm", x).reshape(side * side, -1).sum(0) / (side * side)
        return self._linear("head", x)

    def _block(self, name, x, heads, odd, block):
        side, size = min(self.ann.window, len(x)), len(x)
        shift = side // 2 if odd and side < size else 0
        y = self._fire(f"{name}.shortcut1_if", self._norm(f"{name}.norm1", x))
        windows = [
            [
                ((i + a + shift) % size, (j + b + shift) % size)
                for a in range(side)
                for b in range(side)
            ]
            for i in range(0, size, side)
            for j in range(0, size, side)
        ]
        out = self._attention(f"{name}.attn", y, windows, heads, 5 * block, block)
        x = x + out
        y = self._fire(f"{name}.shortcut2_if", self._norm(f"{name}.norm2", x))
        y = self._mask(f"{name}.mlp.in_mask", y, "mlp", 5 * block + 3, block)
        y = self._norm(f"{name}.mlp.norm1", self._linear(f"{name}.mlp.fc1", y))
        y = self._fire(f"{name}.mlp.fc1_if", y)
        y = self._mask(f"{name}.mlp.hidden_mask", y, "mlp", 5 * block + 4, block)
        y = self._norm(f"{name}.mlp.norm2", self._linear(f"{name}.mlp.fc2", y))
        return x + self._fire(f"{name}.mlp.fc2_if", y)

    def _attention(self, name, x, windows, heads, site, block):
        c = x.shape[-1]
        d = c // heads
        scale = {4: HALF, 16: HALF / 2}[d]
        rows = np.array([[x[place] for place in window] for window in windows])
        qkv = self._linear(f"{name}.qkv", rows)  # (windows, N, 3C)

        def part(which, k):  # (windows, heads, N, d)
            cut = [qkv[..., k * c + h * d : k * c + (h + 1) * d] for h in range(heads)]
            return self._fire(f"{name}.{which}_if", np.stack(cut, axis=1))

        q, k, v = part("q", 0), part("k", 1), part("v", 2)
        q = self._mask(f"{name}.q_mask", q, "attention", site, block)
        k = self._mask(f"{name}.k_mask", k, "attention", site + 1, block)
        scores = np.array(
            [[a @ b.T for a, b in zip(*pair, strict=True)] for pair in zip(q, k, strict=True)]
        )
        scores = self._fire(f"{name}.attn_if", scores * scale)
        scores = self._mask(f"{name}.attn_mask", scores, "attention", site + 2, block)
        for w, window in enumerate(windows):
            for i, one in enumerate(window):
                for j, other in enumerate(window):
                    # A shifted window wraps around the edge: only true neighbours may attend.
                    if max(abs(one[0] - other[0]), abs(one[1] - other[1])) >= self.ann.window:
                        scores[w, :, i, j] = 0 * HALF
        scores = scores / len(windows[0])
        mixed = np.array(
            [[a @ b for a, b in zip(*pair, strict=True)] for pair in zip(scores, v, strict=True)]
        )
        mixed = self._fire(f"{name}.attn_v_if", mixed)
        joined = np.concatenate([mixed[:, h] for h in range(heads)], axis=-1)
        joined = self._fire(f"{name}.proj_if", self._linear(f"{name}.proj", joined))
        out = np.empty_like(x)
        for window, tokens in zip(windows, joined, strict=True):
            for place, token in zip(window, tokens, strict=True):
                out[place] = token
        return out

    def _linear(self, name, x):
        return x @ self.p[f"{name}.weight"].T + self.p[f"{name}.bias"]

    def _norm(self, name, x):
        deviation = {Fraction(1): Fraction(1), Fraction(1, 4): HALF}
        scale = self.p[f"{name}.weight"] / np.array(
            [deviation[v] for v in self.p[f"{name}.running_var"]]
        )
        return (x - self.p[f"{name}.running_mean"]) * scale + self.p[f"{name}.bias"]

    def _fire(self, name, current):
        theta = self.p[f"{name}.threshold"].item()
        v = self.v.get(name, theta / 2) + current
        fires = v >= theta
        self.ties += int((v == theta).sum())
        self.v[name] = v - theta * fires
        self.spikes[name].append(fires.reshape(-1).astype(int).tolist())
        return fires * theta

    def _mask(self, name, x, kind, site, block):
        ratio = self.ratios[kind] if self.blocks is None or block in self.blocks else 0.0
        if ratio == 0:
            return x
        flat = x.reshape(-1).copy()
        for unit in range(len(flat)):
            number = mask_number(self.seed, site, self.step, self.image, unit)
            if number < ratio * 2**24:
                flat[unit] = 0 * HALF
        self.delivered[name] += int((flat != 0).sum())
        return flat.reshape(x.shape)
