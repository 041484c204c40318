"""Every operation that a trace counts is one that a loop over all of them finds."""

import itertools

import pytest
import torch
from runs import made_run
from tiny import perceptron, pictures, tiny
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mstlib
from mstlib.analysis.counting import fan_out
from mstlib.analysis.operations import Trace, dense_operations, trace
from mstlib.energy import Costs, matched_bits, memory_energy, whole_numbers
from mstlib.masking import Masking, RandomSpikeMask
from mstlib.models.convnets import ConvConfig, convnet
from mstlib.models.layers import Product
from mstlib.models.lesions import lesion
from mstlib.qcfs import QCFS


def convolutions(levels: int = 4) -> nn.Sequential:
    """Convolutions with padding, stride, dilation and groups, a mask, a pooling; 1×9×7 images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            QCFS(levels, 0.5),
            RandomSpikeMask("conv", 0, 0, alone=True),
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
            QCFS(levels, 0.3),
            RandomSpikeMask("conv", 1, 1, alone=True),
            nn.Conv2d(6, 4, 2, dilation=2, padding=(0, 1)),
            QCFS(levels, 0.2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * 1 * 2, 3),
        ).eval()


PHOTOS = pictures(3, channels=1)[:, :, :9, :7]


def inputs_of(snn, kinds, run):
    """Every input that the layers of some kinds receive while `run` runs, by the layer's name."""
    seen, handles = {}, []
    for name, module in snn.net.named_modules():
        if isinstance(module, kinds):
            seen[name] = (module, [])
            handles.append(
                module.register_forward_pre_hook(
                    lambda m, x, into=seen[name][1]: into.append([part.clone() for part in x])
                )
            )
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def loop_over_linear(layer, x):
    """One for each weight that meets a spike, and the length of all loops."""
    found = 0
    for row in x.reshape(-1, layer.in_features).tolist():
        for value in row:
            for _ in range(layer.out_features):
                found += value != 0
    return found


def loop_over_product(a, b):
    """Pairs of non-zeros that meet."""
    found = 0
    a, b = (t.reshape(-1, *t.shape[-2:]).tolist() for t in (a, b))
    for left, right in zip(a, b, strict=True):
        for row, column in itertools.product(left, zip(*right, strict=True)):
            found += sum(p != 0 and q != 0 for p, q in zip(row, column, strict=True))
    return found


def loop_over_conv(conv, x):
    """Non-zeros under the kernel, at each of its places, for each of its outputs."""
    found, (kh, kw), (sh, sw) = 0, conv.kernel_size, conv.stride
    (ph, pw), (dh, dw) = conv.padding, conv.dilation
    height, width = conv(x).shape[-2:]
    inside, outside = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    fired = (x != 0).tolist()
    for image, group, row, column in itertools.product(
        fired, range(conv.groups), range(height), range(width)
    ):
        for channel, i, j in itertools.product(range(inside), range(kh), range(kw)):
            y, z = row * sh - ph + i * dh, column * sw - pw + j * dw
            if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
                found += outside * image[group * inside + channel][y][z]
    return found


@pytest.mark.parametrize("attention", ["softmax", "pure"])
@pytest.mark.parametrize("masking", [None, Masking(attention=0.5, mlp=0.3)])
def test_a_transformer_is_counted_as_a_loop_counts_it(attention, masking):
    snn, x = mstlib.convert(tiny(attention=attention)), pictures(2)
    seen = inputs_of(snn, nn.Linear | Product, lambda: mstlib.simulate(snn, x, 3, masking, seed=4))
    result = trace(snn, x, 3, masking, seed=4)
    layers = {layer.name: layer for layer in result.layers}
    for name, (module, calls) in seen.items():
        layer = layers[name]
        if isinstance(module, Product):
            spikes = name.endswith("scores") or attention == "pure"
            assert layer.arrives == ("spikes × spikes" if spikes else "real × spikes")
            want = sum(loop_over_product(*call) for call in calls)
            if not spikes:  # each spike of V is weighed once for each query, whatever the weight
                want = sum(loop_over_product(torch.ones_like(a), b) for a, b in calls)
            assert (layer.synaptic, layer.macs) == (want, 0)
        elif name == "head" or name.endswith("reduction"):
            assert layer.arrives == "real"
            assert (layer.synaptic, layer.spikes) == (0, 0)
            assert layer.macs == layer.dense == layer.fetches
        else:
            assert layer.arrives == "spikes"
            want = sum(loop_over_linear(module, call[0]) for call in calls)
            assert (layer.synaptic, layer.macs) == (want, 0)
            assert layer.fetches == want == layer.spikes * module.out_features
    assert layers["patch_embed.proj"].arrives == "real"


def test_convolutions_are_counted_as_a_loop_counts_them():
    snn = mstlib.convert(convolutions())
    seen = inputs_of(snn, nn.Conv2d, lambda: mstlib.simulate(snn, PHOTOS, 4))
    layers = {layer.name: layer for layer in trace(snn, PHOTOS, 4).layers}
    assert layers["0"].arrives == "real"
    assert layers["0"].macs == layers["0"].dense
    for name in ("3", "6"):
        conv, calls = seen[name]
        assert layers[name].arrives == "spikes"
        assert layers[name].synaptic == sum(loop_over_conv(conv, call[0]) for call in calls) > 0
    assert layers["10"].arrives == "real"  # the mean of some spikes is no spike


@pytest.mark.parametrize("conv", [
    nn.Conv2d(2, 3, 3), nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.Conv2d(1, 2, 3, stride=2),
    nn.Conv2d(2, 2, (1, 3), stride=(1, 2), padding=(0, 1)), nn.Conv2d(1, 1, 2, dilation=2),
])  # fmt: skip
def test_fan_out_is_the_number_of_outputs_that_an_input_changes(conv):
    conv = conv.double()
    nn.init.ones_(conv.weight)
    fans = fan_out(conv, 6, 5)
    for place in itertools.product(*map(range, (conv.in_channels, 6, 5))):
        x = torch.zeros(1, conv.in_channels, 6, 5, dtype=torch.float64)
        x[0][place] = 1
        assert int((conv(x) != conv(0 * x)).sum()) == fans[place]


def test_fan_out_of_spikes_by_neuron_is_the_same_count():
    snn = mstlib.convert(convolutions())
    result = trace(snn, PHOTOS, 8)
    layers = {layer.name: layer for layer in result.layers}
    counts = result.run.neuron_counts["1"].view(4, 9, 7)
    assert layers["3"].synaptic == int((counts * fan_out(snn.net[3], 9, 7)).sum())


def test_padding_that_repeats_spikes_is_refused():
    with pytest.raises(ValueError, match="padding with 'zeros', not 'reflect'"):
        fan_out(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), 4, 4)


@pytest.mark.parametrize("build", [tiny, convolutions, perceptron])
def test_dense_operations_are_those_of_pytorchs_own_counter(build):
    net = build().double()
    x = {"tiny": pictures(2), "perceptron": pictures(2, channels=1, side=4)}.get(
        build.__name__, PHOTOS[:2]
    ).double()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    assert sum(dense_operations(net, x).values()) == counter.get_total_flops() / 2 / len(x)
    result = trace(mstlib.convert(net), x, 3)
    assert result.total("dense") == counter.get_total_flops() / 2 / len(x)


def test_a_masked_spike_was_emitted_and_is_not_delivered():
    snn, x, masking = mstlib.convert(tiny()), pictures(), Masking(attention=0.5)
    result = trace(snn, x, 12, masking, seed=1)
    plain = mstlib.simulate(snn, x, 12, masking, seed=1)
    assert result.run.spike_counts == plain.spike_counts
    emitted = sum(plain.spike_counts[mask.replace("_mask", "_if")] for mask in plain.delivered)
    assert sum(result.dropped.values()) == emitted - sum(plain.delivered.values()) > 0
    assert result.emitted * 48 == sum(plain.spike_counts.values())
    assert result.delivered * 48 == pytest.approx(
        sum(plain.spike_counts.values()) - sum(result.dropped.values())
    )
    scores = [layer for layer in result.layers if layer.name.endswith("scores")]
    arrived = sum(n for mask, n in plain.delivered.items() if "attn_mask" not in mask)
    assert sum(layer.spikes for layer in scores) == arrived


def test_what_arrives_is_what_the_audit_sees():
    snn = mstlib.convert(tiny())
    kinds = {}
    for edge in mstlib.audit(snn, pictures(2), steps=6):
        kinds.setdefault(edge.layer, []).append("real" if edge.kind == "real" else "spikes")
    for layer in trace(snn, pictures(2), 6).layers:
        if layer.dense:
            assert layer.arrives == " × ".join(kinds[layer.name])


def test_counts_do_not_depend_on_chunks_and_batches():
    snn, x = mstlib.convert(tiny()).double(), pictures().double()
    first = trace(snn, x, 10, Masking(attention=0.4))
    second = trace(snn, x, 10, Masking(attention=0.4), chunk=3, batch_size=3)
    assert (first.layers, first.dropped) == (second.layers, second.dropped)


def test_an_image_that_stops_early_takes_fewer_steps_and_less_energy():
    snn, x = mstlib.convert(tiny()), pictures()
    full = trace(snn, x, 16)
    short = trace(snn, x, 16, until=mstlib.Confidence(margin=1e-6, every=4))
    assert short.steps == 4 < full.steps == 16
    assert sum(short.energy().values()) < 0.5 * sum(full.energy().values())


def test_a_product_need_not_be_square():
    class Meet(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.meet = QCFS(4, 0.5), Product()
            self.input_shape = (1, 2, 3)

        def forward(self, x):
            a = self.act(x)[:, 0]  # (rows, 2, 3)
            return self.meet(a, a.transpose(-2, -1)[..., :1]).flatten(1)

    snn = mstlib.convert(Meet())
    x = torch.rand(2, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    ((_, calls),) = inputs_of(snn, Product, lambda: mstlib.simulate(snn, x, 5)).values()
    (layer,) = trace(snn, x, 5).layers
    assert layer.synaptic == sum(loop_over_product(*call) for call in calls) > 0
    assert layer.dense == 10 * 2 * 3 * 1


def test_a_spike_with_two_readers_is_sent_to_each_by_halves():
    net = convnet(ConvConfig("resnet18", in_channels=1, width=4, deep_stem=True))
    snn = mstlib.convert(net.eval())
    result = trace(snn, pictures(2, channels=1, side=32), 2, Masking(conv=0.5))
    assert set(result.dropped) <= set(result.readers)
    assert max(result.readers.values()) == 2
    assert 0 < result.emitted - result.delivered < 0.6 * result.emitted


def test_silent_scores_meet_no_value():
    snn = mstlib.convert(tiny(attention="pure"))
    with lesion(snn, "scores"):
        layers = trace(snn, pictures(), 4).layers
    assert sum(layer.synaptic for layer in layers if layer.name.endswith("mix")) == 0
    assert sum(layer.synaptic for layer in layers if layer.name.endswith("scores")) > 0


def test_nothing_is_left_on_the_network():
    snn = mstlib.convert(tiny())
    with pytest.raises(ValueError, match="steps must be a whole number"):
        trace(snn, pictures(), 0)
    trace(snn, pictures(), 2)
    assert not any(module._forward_hooks for module in snn.modules())
    with pytest.raises(TypeError, match="not MaskedSpikingTransformer: convert it"):
        trace(tiny(), pictures(), 2)


def test_power_in_all_its_readings():
    result = trace(mstlib.convert(tiny()), pictures(), 8, Masking(mlp=0.5))
    assert result.power() == pytest.approx(result.run.power())
    assert result.power(reading="run") == pytest.approx(8 * result.power())
    lost = sum(result.dropped.values()) / 32 / 1e-3
    assert result.power(spikes="delivered") == pytest.approx(result.power() - lost)
    assert result.power(2e-12) == pytest.approx(2e-12 * result.power())
    with pytest.raises(ValueError, match=r"spikes must be one of .*not 'sent'"):
        result.power(spikes="sent")
    with pytest.raises(ValueError, match=r"reading must be one of .*not 'year'"):
        result.power(reading="year")
    with pytest.raises(ValueError, match="alpha must be a positive energy"):
        result.power(0.0)


def test_energy_by_hand():
    """16 pixels to 12 neurons to 10 neurons to 3 outputs."""
    result = trace(mstlib.convert(perceptron()), pictures(3, channels=1, side=4), 5)
    spikes = result.run.spike_counts
    first, second = spikes["3"] / 15, spikes["5"] / 15
    assert [(layer.kind, layer.arrives) for layer in result.layers] == [
        ("linear", "real"), ("norm", ""), ("linear", "spikes"), ("linear", "spikes"),
    ]  # fmt: skip
    costs = Costs(mac=7, ac=3, weight=2, state=1, event=11)
    assert result.energy(costs) == pytest.approx({
        "multiply": 5e-12 * 7 * (16 * 12 + 12),
        "add": 5e-12 * 3 * (10 * first + 3 * second),
        "weights": 5e-12 * 2 * (16 * 12 + 10 * first + 3 * second),
        "states": 5e-12 * 2 * 22,
        "events": 5e-12 * 11 * (first + second),
    })  # fmt: skip
    assert result.totals().energy_of_numbers(costs, bits=4) == pytest.approx({
        "multiply": 1e-12 * 7 * (16 * 12 + 12 + 12 * 10 + 10 * 3),
        "add": 0,
        "weights": 1e-12 * 2 * (16 * 12 + 12 * 10 + 10 * 3),
        "states": 0,
        "events": 1e-12 * 2 * 22 * 4 * 10 / 64,
    })  # fmt: skip
    assert list(result.energy(memory=False)) == ["multiply", "add"]
    assert result.energy(costs, memory=False)["add"] == result.energy(costs)["add"]
    assert list(result.totals().energy_of_numbers(memory=False)) == ["multiply", "add"]


def test_shares_add_up_to_one():
    result = trace(mstlib.convert(tiny()), pictures(), 4)
    for what in ("spikes", "dense", "synaptic", "adds", "macs", "fetches"):
        assert sum(result.share(what).values()) == pytest.approx(1)
    assert result.share("macs")["head"] == pytest.approx(24 * 10 / result.total("macs"))


def test_a_trace_of_a_run_made_by_hand():
    result = Trace(made_run(), (), {"mask": 6})
    assert (result.emitted, result.delivered, result.steps) == (2, 1, 3)


@pytest.mark.parametrize(
    ("steps", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (64, 7), (255, 8)]
)
def test_bits_that_hold_a_count(steps, bits):
    assert matched_bits(steps) == bits


def test_prices():
    assert Costs().mac == pytest.approx(3.7 + 0.9)
    assert whole_numbers().mac == pytest.approx(0.2 + 0.1)
    assert whole_numbers(32, 32).mac == pytest.approx(3.1 + 0.1, rel=0.05)  # Horowitz: 3.1
    assert whole_numbers(4).mac == pytest.approx(0.2)
    assert whole_numbers().weight == memory_energy(8) == 1.25
    assert Costs().weight == Costs().state == memory_energy(32)
    assert Costs().event == 2 * memory_energy(16)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Costs(mac=-1), "mac must be a finite energy >= 0 in picojoules, not -1"),
        (lambda: Costs(event=float("inf")), "event must be a finite energy .* not inf"),
        (lambda: Costs(ac="cheap"), "ac must be .* not 'cheap'"),
        (lambda: whole_numbers(0), "bits must be a whole number from 1 to 32, not 0"),
        (lambda: whole_numbers(8, 64), "weight_bits must be .* not 64"),
        (lambda: matched_bits(0), "steps must be a whole number >= 1, not 0"),
        (lambda: matched_bits(2.5), "steps must be a whole number >= 1, not 2.5"),
    ],
)
def test_bad_prices_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
