"""The live explorer in Python: its record of a run, its settings, and the stored curves."""

import base64
import json
import math
import warnings

import numpy as np
import pytest
import torch
from traitlets import TraitError

from mstlib import Masking, simulate
from mstlib.analysis import operations
from mstlib.checkpoints import manifest
from mstlib.data import digits
from mstlib.explorers import NetworkExplorer, page
from mstlib.explorers.answers import record, watch
from mstlib.explorers.network import CURVES, offered
from mstlib.masking import mask_numbers
from mstlib.models.layers import SpikeSoftmax
from mstlib.models.sites import block_name, layer_names, mask_after

STEPS, SEED = 9, 5
MASKING = Masking(attention=0.5, mlp=0.25)
MASKED = ("attn.q_if", "attn.k_if", "attn.attn_if", "shortcut2_if", "mlp.fc1_if")


@pytest.fixture(scope="module")
def snn():
    return page.network("mst-digits")


@pytest.fixture(scope="module")
def image():
    return page.pictures("mst-digits").images()[[3]]


def bits(text: str, shape: tuple[int, ...]) -> np.ndarray:
    flat = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little")
    assert len(flat) - math.prod(shape) in range(8)
    return flat[: math.prod(shape)].reshape(shape).astype(bool)


# ---- the record of a run ----


@pytest.mark.parametrize("block", [0, 3])
@pytest.mark.parametrize("end", MASKED)
def test_record_holds_what_was_emitted_and_what_the_hash_lets_pass(snn, image, block, end):
    name = f"{block_name((2, 2), block)}.{end}"
    run = simulate(snn, image, STEPS, MASKING, SEED, record=[name])
    found = record(watch(snn, image, STEPS, MASKING, SEED, name, block))
    emitted = run.spikes[name][:, 0].numpy()
    assert np.array_equal(bits(found["spikes"][name], emitted.shape), emitted)

    mask = snn.masks[mask_after(name)]
    ratio = MASKING.ratio(mask.kind, block)
    numbers = mask_numbers(SEED, mask.site, range(STEPS), [0], emitted.shape[1])[:, 0].numpy()
    passed = emitted & (numbers >= ratio * 2**24)
    delivered = bits(found["spikes"][f"{name} delivered"], emitted.shape)
    assert np.array_equal(delivered, passed)
    assert 0 < passed.sum() == found["delivered"][mask_after(name)] < emitted.sum()


def test_record_counts_as_the_run_and_its_trace_do(snn, image):
    layer = "layers.0.blocks.1.attn.v_if"
    watched = watch(snn, image, STEPS, MASKING, SEED, layer, 2)
    found = json.loads(json.dumps(record(watched), allow_nan=False))
    run = simulate(snn, image, STEPS, MASKING, SEED)
    assert found["logits"] == run.logits[:, 0].tolist()
    assert found["emitted"] == {n: c.tolist() for n, c in run.step_counts.items()}
    assert found["delivered"] == run.delivered
    assert set(found["spikes"]) == {layer, "layers.1.blocks.0.mlp.fc2_if"}  # V meets no mask

    trace = operations.trace(snn, image, STEPS, MASKING, SEED)
    assert found["totals"] == vars(trace.totals())
    assert sum(found["additions"].values()) == found["totals"]["synaptic"] * STEPS
    for name, shape in watched.shapes.items():
        assert math.prod(shape) == len(run.neuron_counts[name])


@pytest.mark.parametrize("block", range(4))
def test_attention_is_what_multiplies_the_values(snn, image, block):
    """Watched again at the softmax, and laid out by hand, window by window."""
    seen = []
    attention = snn.net.blocks[block].attn
    assert isinstance(attention.softmax, SpikeSoftmax)
    handle = attention.softmax.register_forward_hook(lambda m, i, out: seen.append(out))
    simulate(snn, image, STEPS, MASKING, SEED)
    handle.remove()
    weights = torch.cat(seen).unflatten(0, (STEPS, -1))  # (T, w, heads, N, N)
    side, windows = snn.net.blocks[block].tokens, weights.shape[1]
    shift = snn.net.blocks[block].shift
    wanted = np.zeros((STEPS, side, side))
    across = math.isqrt(windows)
    for w in range(windows):
        for key in range(weights.shape[-1]):
            row = (4 * (w // across) + key // 4 + shift) % side
            column = (4 * (w % across) + key % 4 + shift) % side
            wanted[:, row, column] = weights[:, w, :, :, key].mean((1, 2)).numpy()

    name = "patch_embed.proj_if"
    found = record(watch(snn, image, STEPS, MASKING, SEED, name, block))["attention"]
    assert np.array(found) == pytest.approx(wanted.reshape(STEPS, -1), abs=1e-15)
    assert np.array(found).sum(1) == pytest.approx(windows)


def test_watching_leaves_no_hook_behind(snn, image):
    watch(snn, image, 2, MASKING, 0, "layers.0.blocks.0.attn.q_if", 0)
    with pytest.raises(ValueError, match="no spiking layer 'nowhere'"):
        watch(snn, image, 2, MASKING, 0, "nowhere", 0)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in snn.modules())
    with pytest.raises(ValueError, match="one picture is watched at a time, not 2"):
        watch(snn, image.repeat(2, 1, 1, 1), 2, MASKING, 0, "patch_embed.proj_if", 0)


@pytest.mark.parametrize("name", page.MODELS)
def test_layers_and_masks_are_named_as_in_the_network(name):
    net = page.network(name)
    depths = net.net.config.depths
    assert layer_names(depths) == list(net.neurons)
    assert {mask_after(layer) for layer in net.neurons} - {None} == set(net.masks)
    for block, module in enumerate(net.net.blocks):
        assert net.net.get_submodule(block_name(depths, block)) is module
    with pytest.raises(ValueError, match="block must be a whole number from 0 to 3, not 4"):
        block_name(depths, 4)


# ---- settings ----


def test_a_kernel_reads_the_same_run_in_pytorch():
    explorer = NetworkExplorer(ratio=0.75, mlp_ratio=0.25, seed=3, picture=7, steps=6)
    snn, images = page.network("mst-digits"), page.pictures("mst-digits").images()
    wanted = simulate(snn, images[[7]], 6, Masking(attention=0.75, mlp=0.25), 3)
    assert torch.equal(explorer.run.logits, wanted.logits)
    assert explorer.run.delivered == wanted.delivered
    assert torch.equal(explorer.unmasked.logits, simulate(snn, images[[7]], 6).logits)
    explorer.ratio = 0.5
    assert explorer.run.masking == Masking(attention=0.5, mlp=0.25)


def test_students_run_with_other_masks_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NetworkExplorer("mst-digits-attention-75", ratio=0.25, steps=2).run.steps == 2


def test_nothing_is_computed_before_a_view_asks():
    explorer, answers = NetworkExplorer(steps=4), []
    explorer.observe(lambda change: answers.append(change["new"]), names="answer")
    explorer.ratio = 0.25
    assert explorer.answer is None
    explorer._handle_custom_msg({"wanted": "answer"}, [])  # as a view's message arrives
    assert len(answers) == 1
    explorer.time = 2  # the cursor alone needs no new run
    assert len(answers) == 1
    explorer.ratio = 0.5
    explorer.seed = 1
    assert [json.loads(a["key"])["seed"] for a in answers] == [0, 0, 1]
    assert explorer.answer["masked"]["logits"] == explorer.run.logits[:, 0].tolist()


def test_the_key_is_what_javascript_would_write():
    explorer = NetworkExplorer(ratio=0.0, mlp_ratio=0.25)
    assert explorer.request() == (
        '{"network":"mst-digits","picture":0,"drawing":"","ratio":0,"mlp_ratio":0.25,"steps":32,'
        '"seed":0,"layer":"layers.0.blocks.0.attn.q_if","block":3}'
    )


def test_without_masks_both_runs_are_the_same():
    answer = NetworkExplorer(ratio=0, steps=3, seed=9).compute()
    assert answer["masked"] == answer["unmasked"]
    assert answer["masked"]["delivered"] == {}


def test_a_drawing_takes_the_picture_s_place():
    inks, labels = digits.originals("test")
    text = "".join(page.INKS[ink] for ink in inks[0].flat)
    explorer = NetworkExplorer(drawing=text, ratio=0)
    assert explorer.run.predictions().item() == labels[0]
    shown = explorer.compute()["picture"]
    assert shown["label"] is None
    pixels = np.frombuffer(base64.b64decode(shown["pixels"]), np.uint8)
    enlarged = digits.enlarged("test")[0][0].double()
    assert np.array_equal(pixels, (enlarged * 255).round().flatten().numpy())
    explorer.network = "mst-scenes"  # reads no digits
    assert explorer.drawing == ""


def test_pictures_are_those_of_the_network():
    answer = NetworkExplorer("mst-scenes", picture=2, steps=2).compute()
    pictures = page.pictures("mst-scenes")
    assert answer["picture"] == {
        "side": 32,
        "channels": 3,
        "pixels": pictures.data[2],
        "label": pictures.labels[2],
    }
    assert answer["classes"] == list(pictures.classes)
    assert answer["sides"] == [8, 8, 4, 4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "other"}, r"network must be among \['mst-digits', .*not 'other'"),
        ({"names": ["resnet-digits"]}, "names must be networks that run in a page .*'resnet-dig"),
        ({"names": []}, "names must be networks that run in a page"),
        ({"picture": 50}, "picture must be a whole number from 0 to 49, not 50"),
        ({"drawing": "07"}, "drawing must be '' or 64 characters of .* not '07'"),
        ({"drawing": "h" * 64}, "drawing must be '' or 64 characters"),
        ({"network": "mst-scenes", "drawing": "0" * 64}, "'mst-scenes' reads no digits"),
        ({"ratio": 1}, r"ratio must be a number from 0 to 0\.95, not 1"),
        ({"mlp_ratio": -0.1}, "mlp_ratio must be a number from 0"),
        ({"steps": 65}, "steps must be a whole number from 1 to 64, not 65"),
        ({"seed": 1000}, "seed must be a whole number from 0 to 999, not 1000"),
        ({"layer": "attn"}, r"layer must be among \['patch_embed.*not 'attn'"),
        ({"block": 4}, "block must be a whole number from 0 to 3, not 4"),
        ({"time": -1}, "time must be a whole number from 0 to 64, not -1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(TraitError, match=message):
        NetworkExplorer(**settings)


def test_the_answer_is_not_for_others_to_set():
    with pytest.raises(TraitError, match="answer"):
        NetworkExplorer().answer = {}


# ---- the stored curves ----


def test_a_page_gets_means_and_what_the_training_was():
    about = offered("mst-digits-attention-75")
    rows = [r for r in json.loads(CURVES.read_text()) if r["network"] == "mst-digits-attention-75"]
    half = next(p for p in about["curves"]["attention"] if p["ratio"] == 0.5)
    row = next(r for r in rows if (r["place"], r["ratio"]) == ("attention", 0.5))
    assert half["accuracy"] == pytest.approx(sum(row["accuracy"]) / 3, abs=1e-4)
    assert half["sd"] == pytest.approx(np.std(row["accuracy"]), abs=1e-4)
    assert about["trained"] == {"attention": 0.75, "mlp": 0.0}
    assert offered("mst-digits")["trained"] is None
    assert manifest()["mst-digits"]["masking"] is None


def test_a_network_without_curves_says_so():
    fallback = NetworkExplorer(names=["mst-digits-control"]).fallback()
    assert "No accuracy has been measured" in fallback


def test_the_tables_have_a_row_a_network_and_a_column_a_ratio():
    fallback = NetworkExplorer().fallback()
    assert fallback.count("<table>") == 3
    assert fallback.count('<th scope="row">') == 3 * len(page.MODELS)
    row = next(
        r
        for r in json.loads(CURVES.read_text())
        if (r["network"], r["place"], r["ratio"]) == ("mst-digits", "mlp", 0.25)
    )
    assert f"<td>{100 * np.mean(row['accuracy']):.1f}</td>" in fallback
