"""The products of attention over time: three meanings on the same weights, however they are cut."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import perceptron, pictures, tiny
from torch import nn

import mstlib
from mstlib import Confidence, Masking
from mstlib.analysis.ledger import ledger
from mstlib.analysis.products import KINDS, PARTS, CumulativeProduct, ExactProduct, with_products
from mstlib.models.layers import Product
from mstlib.plain import plain_network, run_plain

MEMORY = ("cumulative", "exact")
ANNS = {form: tiny(attention=form).double() for form in ("softmax", "pure")}
NETWORKS = {form: mstlib.convert(ann) for form, ann in ANNS.items()}
IMAGES = pictures(7).double()
STEPS = 11


def trains(seed=0, steps=9, images=3, windows=2, dtype=torch.float64):
    """Two spike trains ``(T, B·w, heads, n, k)`` and ``(T, B·w, heads, k, m)``, 0 or θ = 3/4."""
    draw = torch.Generator().manual_seed(seed)
    shape = (steps, images * windows, 2)
    a = 0.75 * (torch.rand(*shape, 4, 5, generator=draw) < 0.4)
    b = 0.75 * (torch.rand(*shape, 5, 6, generator=draw) < 0.3)
    return a.to(dtype), b.to(dtype)


def played(product, a, b, chunks, images=3):
    """Run a product over chunks of time of these lengths."""
    product.reset()
    out, t = [], 0
    for length in chunks:
        product.expect(length, images)
        now = slice(t, t + length)
        out.append(product(a[now].flatten(0, 1), b[now].flatten(0, 1)).unflatten(0, (length, -1)))
        t += length
    return torch.cat(out)


def test_the_mean_of_exact_products_is_the_product_of_the_means_after_every_step():
    a, b = trains()
    out = played(ExactProduct(0.5), a, b, [9])
    for t in range(1, 10):
        wanted = 0.5 * (a[:t].mean(0) @ b[:t].mean(0))
        torch.testing.assert_close(out[:t].mean(0), wanted, rtol=0, atol=1e-14)
    step = 0.5 * (a @ b).mean(0)
    assert (step - wanted).abs().max() > 0.05  # which the paper's product is not


def test_what_the_exact_product_adds_up_is_the_product_of_the_sums_to_the_last_bit():
    a, b = trains()  # multiples of 3/4: sums and products have no rounding in 64 bits
    product = ExactProduct()
    played(product, a, b, [4, 5])
    sum_a, sum_b, sum_p = (x.flatten(0, 1) for x in product.state)
    assert torch.equal(sum_a, a.sum(0))
    assert torch.equal(sum_b, b.sum(0))
    assert torch.equal(sum_p, a.sum(0) @ b.sum(0))


def test_the_cumulative_product_multiplies_running_means():
    a, b = trains(seed=1)
    out = played(CumulativeProduct(2.0), a, b, [9])
    for t in range(1, 10):
        wanted = 2 * (a[:t].mean(0) @ b[:t].mean(0))
        torch.testing.assert_close(out[t - 1], wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [CumulativeProduct, ExactProduct])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunks", [[1] * 9, [4, 5], [2, 6, 1]])
def test_cutting_time_changes_no_bit(kind, dtype, chunks):
    a, b = trains(seed=2, dtype=dtype)
    a = a / 3  # thirds, so that sums do round
    assert torch.equal(played(kind(0.3), a, b, chunks), played(kind(0.3), a, b, [9]))


def test_the_first_step_is_the_same_for_all_kinds():
    a, b = trains(seed=3, steps=1)
    for kind in (CumulativeProduct, ExactProduct):
        assert torch.equal(played(kind(), a, b, [1]), a @ b)


@settings(max_examples=20)
@given(
    st.sampled_from([*itertools.product(NETWORKS, MEMORY)]),
    st.booleans(),
    st.integers(1, STEPS + 1),
    st.integers(1, len(IMAGES) + 1),
)
def test_cutting_time_or_images_changes_nothing(network, masked, chunk, batch_size):
    form, kind = network
    snn = with_products(NETWORKS[form], kind)
    masking = Masking(attention=0.5) if masked else None
    whole = mstlib.simulate(snn, IMAGES, STEPS, masking, chunk=STEPS, batch_size=len(IMAGES))
    run = mstlib.simulate(snn, IMAGES, STEPS, masking, chunk=chunk, batch_size=batch_size)
    assert run.spike_counts == whole.spike_counts
    assert run.delivered == whole.delivered
    torch.testing.assert_close(run.logits, whole.logits, atol=1e-9, rtol=0)


class _OneStep(nn.Module):
    """A product that takes one time step a call, in its plainest form."""

    def __init__(self, kind, scale):
        super().__init__()
        self.kind, self.scale, self.seen, self.given = kind, scale, [], 0

    def forward(self, a, b):
        self.seen.append((a, b))
        means = [torch.stack(x).mean(0) for x in zip(*self.seen, strict=True)]
        t, now = len(self.seen), self.scale * (means[0] @ means[1])
        if self.kind == "cumulative":
            return now
        out = t * now - self.given
        self.given = t * now
        return out


@pytest.mark.parametrize("form", NETWORKS)
@pytest.mark.parametrize("kind", MEMORY)
@pytest.mark.parametrize("parts", [PARTS, ("scores",), "mix"])
def test_a_network_agrees_with_a_loop_that_takes_one_step_a_call(form, kind, parts):
    net = plain_network(ANNS[form])
    for name, product in list(net.named_modules()):
        if isinstance(product, Product) and name.split(".")[-1] in parts:
            net.set_submodule(name, _OneStep(kind, product.scale))
    plain = run_plain(net, IMAGES, STEPS, Masking(), 0, count=True)
    run = mstlib.simulate(with_products(NETWORKS[form], kind, parts), IMAGES, STEPS)
    assert run.spike_counts == plain.spike_counts
    torch.testing.assert_close(run.logits, plain.logits, atol=1e-9, rtol=0)
    ordinary = mstlib.simulate(NETWORKS[form], IMAGES, STEPS)
    assert run.spike_counts != ordinary.spike_counts  # it does make a difference


@pytest.mark.parametrize("form", NETWORKS)
def test_step_is_the_plain_network_bit_for_bit_even_on_the_way_back(form):
    snn = NETWORKS[form]
    plain = mstlib.simulate(snn, IMAGES, STEPS)
    for other in (with_products(snn, "step"), with_products(with_products(snn, "exact"), "step")):
        run = mstlib.simulate(other, IMAGES, STEPS)
        assert torch.equal(run.logits, plain.logits)
        assert other.products == {}


@pytest.mark.parametrize("kind", MEMORY)
def test_early_exit_takes_each_image_s_memory_along(kind):
    snn = with_products(NETWORKS["softmax"], kind)
    until = Confidence(margin=40.0, every=2)
    together = mstlib.simulate(snn, IMAGES, 20, until=until, chunk=3)
    assert len(together.taken.unique()) > 1  # some stop early, some do not
    for i in range(len(IMAGES)):
        alone = mstlib.simulate(snn, IMAGES[i : i + 1], 20, until=until)
        assert alone.taken[0] == together.taken[i]
        torch.testing.assert_close(alone.logits[:, 0], together.logits[:, i], atol=1e-9, rtol=0)


def test_two_threads_do_not_share_a_memory():
    snn = with_products(NETWORKS["softmax"], "exact")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = mstlib.simulate(snn, IMAGES, STEPS, batch_size=2)
        torch.set_num_threads(2)
        two = mstlib.simulate(snn, IMAGES, STEPS, batch_size=2)
    finally:
        torch.set_num_threads(before)
    assert two.spike_counts == one.spike_counts
    torch.testing.assert_close(two.logits, one.logits, atol=1e-9, rtol=0)


def test_weights_are_shared_and_the_network_is_left_as_it_was():
    snn = NETWORKS["softmax"]
    other = with_products(snn, "exact", "scores")
    kept = {id(x) for x in (*snn.parameters(), *snn.buffers())}
    assert {id(x) for x in (*other.parameters(), *other.buffers())} == kept
    assert snn.products == {}
    assert {name.split(".")[-1] for name in other.products} == {"scores"}
    assert len(other.products) == 3  # one a block
    assert other.input_shape == snn.input_shape


def test_nothing_is_remembered_after_a_run():
    snn = with_products(NETWORKS["pure"], "cumulative")
    first = mstlib.simulate(snn, IMAGES, 5)
    assert all(product.state == [] for product in snn.products.values())
    assert torch.equal(mstlib.simulate(snn, IMAGES, 5).logits, first.logits)


@pytest.mark.parametrize("form", NETWORKS)
def test_the_ledger_finds_no_product_error_where_products_are_exact(form):
    errors = {
        kind: ledger(with_products(NETWORKS[form], kind), IMAGES, (3, 8), chunk=5) for kind in KINDS
    }
    for T in (3, 8):
        assert errors["exact"].totals(T)["product"] < 1e-12
        assert errors["step"].totals(T)["product"] > 0.01
        assert errors["cumulative"].totals(T)["product"] > 0.01


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        with_products(ANNS["pure"], "exact")
    with pytest.raises(ValueError, match=r"kind must be one of .*'exact'.* not 'right'"):
        with_products(NETWORKS["pure"], "right")
    with pytest.raises(ValueError, match=r"parts must be some of .*'mix'.* not 'values'"):
        with_products(NETWORKS["pure"], "exact", ["values"])
    with pytest.raises(ValueError, match="no attention"):
        with_products(mstlib.convert(perceptron()), "exact")
