"""The ledger of conversion errors, on cases whose answer is known."""

import copy

import pytest
import torch
from torch import nn

from mstlib.analysis.ledger import CAUSES, Ledger, drift, ledger, repair
from mstlib.convert import convert
from mstlib.models.layers import Product, ReadoutNorm, SpikeSoftmax, TokenNorm
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.qcfs import QCFS
from mstlib.simulate import simulate

NEURON = ("clipping", "quantisation", "unevenness")


def chain(*layers: nn.Module) -> nn.Module:
    """A converted chain in float64 that takes (B, 1, 1, n) images."""
    return convert(nn.Sequential(nn.Flatten(), *layers).double())


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def relative(book: Ledger) -> dict[tuple[str, str], float]:
    return {(entry.layer, entry.cause): entry.relative for entry in book}


class Pair(nn.Module):
    """One number read by two layers of neurons, and the two multiplied."""

    input_shape = (1, 1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.q_if, self.k_if, self.scores = QCFS(4), QCFS(4), Product()
        self.out_if = QCFS(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k = x.flatten(1).split(1, 1)
        return self.out_if(self.scores(self.q_if(q)[:, None], self.k_if(k)[:, None])).flatten(1)


def pair(q: float, k: float) -> tuple[nn.Module, torch.Tensor]:
    return convert(Pair().double()), torch.tensor([[[[q, k]]]], dtype=torch.float64)


def small(**changes: object) -> MaskedSpikingTransformer:
    """A transformer of random weights in float64, its thresholds small enough to clip."""
    torch.manual_seed(5)
    shape = {"in_channels": 1, "width": 12, "heads": (2, 2), "depths": (1, 2)} | changes
    net = MaskedSpikingTransformer(SwinConfig(**shape))
    for name, module in net.named_modules():
        if isinstance(module, (TokenNorm, ReadoutNorm)):
            nn.init.uniform_(module.bias, -0.5, 1.0)
        if isinstance(module, QCFS):
            nn.init.constant_(module.threshold, 0.5 if "attn" in name else 1.5)
    return net.double().eval().requires_grad_(False)


def pictures(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(2)).double()


def with_levels(net: nn.Module, levels: int | None) -> nn.Module:
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, QCFS):
            module.levels = levels
    return net


def test_a_current_above_the_threshold_is_clipped_and_nothing_else():
    book = relative(ledger(chain(QCFS(4)), images(2.0), 8))
    assert book == {("1", "clipping"): 0.5, ("1", "quantisation"): 0, ("1", "unevenness"): 0}


def test_a_constant_current_is_quantised_by_a_known_amount_and_never_uneven():
    # 0.3 over 4 steps is one spike, 0.25; over 10 steps three spikes, 0.3.
    book = ledger(chain(QCFS(4)), images(0.3), (4, 10))
    assert [(e.steps, e.cause, round(e.relative, 9)) for e in book] == [
        (4, "clipping", 0),
        (4, "quantisation", round(0.05 / 0.3, 9)),
        (4, "unevenness", 0),
        (10, "clipping", 0),
        (10, "quantisation", 0),
        (10, "unevenness", 0),
    ]


def test_a_bad_timing_is_unevenness_alone():
    # θ = 1, T = 2. The first neuron fires once, at step 1, and the second layer, which subtracts
    # it from 1.5, sees 0.5 and 1.5: mean 1 (two spikes wanted, both given). With the roles turned,
    # a neuron that fires at step 2 gives 1.5 and 0.5: u = 2.0 and 1.5, both fire.
    second = nn.Linear(2, 1)
    second.weight.data = torch.tensor([[3.0, -3.0]])
    second.bias.data = torch.tensor([0.0])
    snn = chain(QCFS(4), second, QCFS(4))
    # Rates 1/2 each, in step: 0.5 fires at once (u = 1.0), 0.49 a step later. Mean input 0, but +3
    # arrives first and makes a spike that no later input can take back.
    two = torch.tensor([0.5, 0.49], dtype=torch.float64).view(1, 1, 1, 2)
    by = {(e.layer, e.cause): e.error for e in ledger(snn, two, 2)}
    assert by["3", "unevenness"] == pytest.approx(0.5)
    assert by["3", "clipping"] == by["3", "quantisation"] == by["1", "unevenness"] == 0


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_trains_in_step_keep_a_product_bias_for_ever(rate):
    # Both neurons fire in the same steps, so the mean product is a, not a²: the bias is a(1 - a).
    book = ledger(*pair(rate, rate), (8, 64, 512))
    for entry in book:
        if entry.cause == "product":
            assert entry.reference == pytest.approx(rate**2)
            assert entry.error == pytest.approx(rate * (1 - rate))


def test_a_constant_train_has_no_product_bias():
    book = relative(ledger(*pair(1.0, 0.3), 20))
    assert book["scores", "product"] == pytest.approx(0, abs=1e-12)


def test_softmax_of_the_mean_is_not_the_mean_of_softmaxes():
    # Two scores: one always 0, one that is 0 and 1 in turn. The weight of the second is 1/2 and
    # e/(1+e) in turn; of the mean score 1/2 it is √e/(1+√e).
    snn = chain(QCFS(4), nn.Softmax(-1))
    two = torch.tensor([0.0, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    (entry,) = [e for e in ledger(snn, two, 4) if e.cause == "softmax"]
    e = torch.tensor(1.0, dtype=torch.float64).exp()
    wanted = (0.5 + e / (1 + e)) / 2 - e.sqrt() / (1 + e.sqrt())
    assert entry.error == pytest.approx(abs(float(wanted)), abs=1e-12)


def test_only_layernorm_breaks_the_average():
    norms = {}
    for norm in (TokenNorm(3), ReadoutNorm(3)):
        if isinstance(norm, TokenNorm):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
        snn = chain(QCFS(4), norm)
        three = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64).view(1, 1, 1, 3)
        norms[type(norm)] = relative(ledger(snn, three, 16))["2", "norm"]
    assert norms[TokenNorm] < 1e-12
    assert norms[ReadoutNorm] > 0.1


def test_linear_layers_owe_nothing():
    book = ledger(chain(nn.Linear(1, 5), QCFS(4), nn.Linear(5, 3), nn.Dropout()), images(0.4), 8)
    assert book.layers == ["2"]
    assert book.causes == list(NEURON)


def test_scores_that_were_moved_off_their_two_values_get_an_ordinary_softmax():
    snn, seen = convert(small()), []
    softmax = next(m for m in snn.modules() if isinstance(m, SpikeSoftmax))

    def note(module, inputs, output):
        seen.append(len(inputs[0].unique()))
        assert torch.allclose(output, module.smooth(inputs[0]), atol=1e-9)

    hook = softmax.register_forward_hook(note, prepend=True)  # before the error is taken back
    repair(snn, pictures(), 6, ["unevenness"])
    hook.remove()
    assert max(seen) > 2
    assert all(m.binary for m in snn.modules() if isinstance(m, SpikeSoftmax))


@pytest.mark.parametrize("final_norm", ["batch", "layer"])
def test_the_causes_are_all_there_is(final_norm):
    net = small(final_norm=final_norm)
    snn, x = convert(net), pictures()
    book = ledger(snn, x, 6)
    for cause in (*NEURON, "product", "softmax"):
        assert book.totals()[cause] > 0.005, f"the case does not try {cause}"
    relu, fine = with_levels(net, None)(x), with_levels(net, 2**40)(x)
    assert (relu - fine).abs().max() > 1e-3
    repaired = repair(snn, x, 6, CAUSES).logits.mean(0)
    assert torch.allclose(repaired, relu, atol=1e-9)
    unclipped = repair(snn, x, 6, CAUSES[1:]).logits.mean(0)
    assert torch.allclose(unclipped, fine, atol=1e-9)


@pytest.mark.parametrize("left_out", CAUSES)
def test_no_cause_can_be_left_out(left_out):
    net = small(final_norm="layer")
    x = pictures()
    rest = [cause for cause in CAUSES if cause != left_out]
    repaired = repair(convert(net), x, 6, rest).logits.mean(0)
    assert not torch.allclose(repaired, with_levels(net, None)(x), atol=1e-6)


def test_repairing_nothing_changes_nothing():
    snn, x = convert(small()), pictures()
    assert torch.equal(repair(snn, x, 5, ()).logits, simulate(snn, x, 5).logits)


def test_batches_and_chunks_change_nothing():
    snn, x = convert(small()), pictures(5)
    whole = ledger(snn, x, (3, 9))
    parts = ledger(snn, x, (3, 9), batch_size=2, chunk=4)
    alone = ledger(snn, x, 9)
    assert [(e.layer, e.cause, e.steps) for e in whole] == [
        (e.layer, e.cause, e.steps) for e in parts
    ]
    for a, b in zip(whole, parts, strict=True):
        assert a.error == pytest.approx(b.error, rel=1e-9, abs=1e-12)
    for a, b in zip(whole.at(9), alone, strict=True):
        assert a.error == pytest.approx(b.error, rel=1e-9, abs=1e-12)


def test_leaves_the_network_as_it_was():
    snn, x = convert(small()), pictures()
    before = simulate(snn, x, 4).logits
    ledger(snn, x, 3)
    drift(small(), snn, x, 3)
    repair(snn, x, 3, CAUSES)
    assert torch.equal(simulate(snn, x, 4).logits, before)
    assert not any(module._forward_hooks for module in snn.modules())


def test_drift_is_zero_where_the_staircases_agree_and_known_where_they_do_not():
    net = nn.Sequential(nn.Flatten(), QCFS(4)).double()
    snn, x = convert(net), images(0.1, 0.3, 0.5, 0.8, 1.7)
    four = drift(net, snn, x, 4)
    assert [(e.layer, e.relative) for e in four] == [("1", 0), ("logits", 0)]
    # T = 2: 0.1 → 0 (as with L = 4), 0.3 → ½ (L = 4: ¼), the others alike.
    (entry, _) = drift(net, snn, images(0.1, 0.3), 2)
    assert entry.relative == pytest.approx(1.0)


def test_drift_of_a_transformer_ends_at_the_logits():
    net = small()
    snn, x = convert(net), pictures()
    book = drift(net, snn, x, (2, 4), batch_size=2)
    assert book.layers == [*snn.neurons, "logits"]
    error = (simulate(snn, x, 4).logits.mean(0) - net(x)).square().mean().sqrt()
    assert book.at(4)[-1].error == pytest.approx(float(error), rel=1e-9)


def test_prints_a_table():
    text = repr(ledger(*pair(0.5, 0.5), 8))
    assert text.splitlines() == [
        "T = 8         clipping  quantisation    unevenness       product",
        "q_if             0.000         0.000         0.000             ·",
        "k_if             0.000         0.000         0.000             ·",
        "scores               ·             ·             ·         1.000",
        "out_if           0.000         0.000         0.000             ·",
    ]


def test_totals_average_over_the_layers_that_can_err():
    assert ledger(*pair(0.5, 0.5), 8).totals() == {
        "clipping": 0,
        "quantisation": 0,
        "unevenness": 0,
        "product": pytest.approx(1.0),
    }


@pytest.mark.parametrize("steps", [0, -1, (), (8, 4), (4, 4), 2.5, (0, 3)])
def test_refuses_bad_steps(steps):
    with pytest.raises(ValueError, match="steps must be whole numbers from 1 up, increasing"):
        ledger(chain(QCFS(4)), images(0.3), steps)


def test_refuses_what_it_cannot_use():
    snn = chain(QCFS(4))
    with pytest.raises(TypeError, match="converted network, not Sequential"):
        ledger(nn.Sequential(QCFS(4)), images(0.3), 4)
    with pytest.raises(ValueError, match="unknown cause 'noise'; the causes are: clipping"):
        repair(snn, images(0.3), 4, ["noise"])
    with pytest.raises(ValueError, match="NaN"):
        ledger(snn, images(float("nan")), 4)
    with pytest.raises(ValueError, match="this ledger holds T = \\[4\\], not 8"):
        ledger(snn, images(0.3), 4).at(8)
    with pytest.raises(ValueError, match="same spiking layers"):
        drift(nn.Sequential(nn.Flatten(), nn.Linear(1, 1), QCFS(4)), snn, images(0.3), 4)
