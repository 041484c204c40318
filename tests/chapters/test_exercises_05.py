"""The checkers of chapter 5 accept what is right and refuse what is wrong, with its reason."""

import pytest
import torch
from reading import answer_names, definition, solution
from timm.models.swin_transformer import window_partition
from torch import nn

from mstlib.exercises import check, find
from mstlib.exercises.ch05 import EXERCISES
from mstlib.models.layers import TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.neurons import integrate_and_fire

NOTEBOOK = "05_masked_spiking_transformer.ipynb"
NUMBERS = [exercise.number for exercise in EXERCISES]


# Right answers, written another way than the checker's own.


def norm_by_layer(x, eps):
    layer = TokenNorm(x.shape[-1], eps=eps, affine=False).train()
    return layer(x)


def scores_by_library(q, k, threshold):
    current = torch.einsum("tid,tjd->tij", q, k) * q.shape[-1] ** -0.5
    return integrate_and_fire(current, threshold)[0]


def weights_by_hand(scores, keep, bias, apart):
    powers = torch.exp(torch.where(keep > 0, scores, torch.zeros_like(scores)) + bias) * ~apart
    return powers / powers.sum(-1, keepdim=True)


def apart_by_painting(size, side, shift):
    region = torch.zeros(1, size, size, 1)
    bands = (slice(0, -side), slice(-side, -shift), slice(-shift, None))
    for i, rows in enumerate(bands):
        for j, columns in enumerate(bands):
            region[:, rows, columns] = 3 * i + j
    windows = window_partition(region, (side, side)).flatten(1)
    return windows[:, :, None] != windows[:, None]


def parameters_by_building(width, heads, side):
    config = SwinConfig(
        image_size=4 * side, width=width, depths=(1,), heads=(heads,), window=side, mlp_ratio=1
    )
    attention = MaskedSpikingTransformer(config).blocks[0].attn
    return sum(p.numel() for p in attention.parameters())


RIGHT = {
    "5.1": norm_by_layer,
    "5.2": scores_by_library,
    "5.3": weights_by_hand,
    "5.4": apart_by_painting,
    "5.5": parameters_by_building,
}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_right_answer_passes(number):
    result = check(number, RIGHT[number])
    assert result.passed, result.message


# Wrong answers as readers write them, and a word of the help they must get.
WRONG = [
    ("5.1", lambda x, eps: nn.functional.layer_norm(x, x.shape[-1:], eps=eps), "LayerNorm"),
    ("5.1", lambda x, eps: (x - x.mean(1, True)) / (x.var(1, False, keepdim=True) + eps).sqrt(),
     "InstanceNorm"),
    ("5.1", lambda x, eps: (x - x.mean()) / (x.var(correction=0) + eps).sqrt(), "of its own"),
    ("5.1", lambda x, eps: x, "right is"),
    ("5.2", lambda q, k, threshold: q @ k.mT / q.shape[-1] ** 0.5, "neurons are missing"),
    ("5.2", lambda q, k, threshold: integrate_and_fire(q @ k.mT / q.shape[-1], threshold)[0], "√d"),
    ("5.2", lambda q, k, threshold: integrate_and_fire(
        q @ k.mT / q.shape[-1] ** 0.5, threshold, reset="zero")[0], "Subtract"),
    ("5.2", lambda q, k, threshold: integrate_and_fire(
        q @ k.mT / q.shape[-1] ** 0.5, threshold, v0=0.0)[0], "θ/2"),
    ("5.2", lambda q, k, threshold: integrate_and_fire(
        k @ q.mT / q.shape[-1] ** 0.5, threshold)[0], "exchanged"),
    ("5.2", lambda q, k, threshold: (q @ k.mT / q.shape[-1] ** 0.5 >= threshold).float(),
     "carried"),
    ("5.2", lambda q, k, threshold: q @ k, "raised"),
    ("5.3", lambda s, keep, b, apart: (s + b).masked_fill(apart, -1e9).softmax(-1) * keep,
     "after the softmax"),
    ("5.3", lambda s, keep, b, apart: (s + b).masked_fill(
        apart | (keep < 1), -torch.inf).softmax(-1), "not −∞"),
    ("5.3", lambda s, keep, b, apart: (s * keep + b).softmax(-1), "shift mask is forgotten"),
    ("5.3", lambda s, keep, b, apart: (s.mul_(keep) + b).masked_fill(apart, -torch.inf).softmax(-1),
     "in place"),
    ("5.4", lambda size, side, shift: torch.zeros((size // side) ** 2, side**2, side**2).bool(),
     "forgotten"),
    ("5.4", lambda size, side, shift: apart_by_painting(size, side, shift).float(), "dtype"),
    ("5.4", lambda size, side, shift: apart_by_painting(size, side, shift)[:1], "shape"),
    ("5.4", lambda size, side, shift: ~apart_by_painting(size, side, shift), "exchanged"),
    ("5.5", lambda width, heads, side: 4 * width**2 + (2 * side - 1) ** 2 * heads + 6, "biases"),
    ("5.5", lambda width, heads, side: 4 * width**2 + 4 * width + (2 * side - 1) ** 2 * heads,
     "thresholds are missing"),
    ("5.5", lambda width, heads, side: 4 * width**2 + 4 * width + side**4 * heads + 6, "pair"),
    ("5.5", lambda width, heads, side: 4 * width**2 + 4 * width + (2 * side - 1) ** 2 + 6,
     "one head"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "answer", "help_"), WRONG)
def test_wrong_answers_are_refused_with_help(number, answer, help_):
    result = check(number, answer)
    assert not result.passed
    assert help_ in result.message


@pytest.mark.parametrize("number", NUMBERS)
def test_every_exercise_knows_enough_mistakes_and_an_empty_stub(number):
    assert len(find(number).mistakes) >= 3
    assert not check(number, lambda *arguments: ...).attempted


@pytest.mark.parametrize("number", NUMBERS)
def test_the_hidden_solution_passes(number):
    to_windows = definition(NOTEBOOK, "to_windows")
    result = check(number, solution(NOTEBOOK, number, torch=torch, to_windows=to_windows))
    assert result.passed, result.message


def test_the_notebook_asks_every_exercise():
    assert list(answer_names(NOTEBOOK)) == NUMBERS
