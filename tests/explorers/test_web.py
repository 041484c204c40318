"""What a page gets to run a network: scripts that hold the converted network's numbers."""

import base64
import json
import re

import engine_golden
import numpy as np
import pytest
import torch
from tiny import perceptron, tiny

import mstlib
from mstlib import data, simulate
from mstlib.cli import main
from mstlib.data import digits
from mstlib.explorers import page

LARGEST = 1.5e6  # bytes of a script


def content(text: str) -> tuple[str, str, dict]:
    """Read a script: the table it fills, the key, and what it puts there."""
    found = re.fullmatch(r'mstExplorers\.(\w+)\["([\w-]+)"\] = (.*);\n', text)
    return found[1], found[2], json.loads(found[3])


@pytest.mark.parametrize("name", page.MODELS)
def test_script_holds_the_network_s_numbers(name):
    text = page.script(name)
    assert len(text) < LARGEST
    table, key, model = content(text)
    assert (table, key) == ("models", name)
    weights = np.frombuffer(base64.b64decode(model["weights"]), "<f4")
    numbers = page.tensors(page.network(name))
    assert model["tensors"] == {k: list(v.shape) for k, v in numbers.items()}
    expected = torch.cat([v.flatten() for v in numbers.values()])
    assert torch.equal(torch.from_numpy(weights.astype(np.float64)), expected)  # float32, exactly
    assert model["config"]["image_size"] == 32
    assert model["data"] == name.removeprefix("mst-").split("-attention")[0].split("-mlp")[0]


def test_script_is_the_same_at_every_run_and_says_how_it_was_trained():
    first, second = (page.script("mst-digits-mlp-75") for _ in range(2))
    assert first == second
    assert content(first)[2]["trained"]["mlp"] == 0.75
    assert content(page.script("mst-digits"))[2]["trained"] is None


def test_every_shipped_transformer_can_run_in_a_page():
    assert set(page.MODELS) < set(page.transformers())
    swins = {name for name in mstlib.available() if name.startswith("mst-")}
    assert set(page.transformers()) == swins


def test_network_answers_as_the_shipped_one_does():
    images, _ = data.load("digits", "test", 64)
    rounded = simulate(page.network("mst-digits"), images, 32)
    shipped = simulate(mstlib.convert(mstlib.load("mst-digits")), images, 32)
    assert rounded.logits.dtype == torch.float64
    assert (rounded.predictions() == shipped.predictions()).float().mean() > 0.98
    assert torch.equal(
        rounded.logits, simulate(page.network("mst-digits"), images.double(), 32).logits
    )


def test_network_leaves_the_trained_one_alone():
    ann = tiny(seed=1)
    before = {k: v.clone() for k, v in ann.state_dict().items()}
    page.network(ann)
    assert all(torch.equal(v, before[k]) and v.dtype == before[k].dtype
               for k, v in ann.state_dict().items())  # fmt: skip


def test_pictures_are_the_first_of_the_test_set():
    for name in ("digits", "scenes", "cued-digits"):
        pictures = page.pictures(name)
        images, labels = data.load(name, "test", page.PICTURES)
        assert pictures.images(torch.float32) == pytest.approx(images, abs=1e-6)
        assert list(pictures.labels) == labels.tolist()
        assert list(pictures.classes) == data.classes(name)
        table, key, shown = content(pictures.script())
        assert (table, key) == ("pictures", name)
        assert shown["pictures"] == list(pictures.data)
        assert (shown["mean"], shown["std"]) == tuple(map(list, data.normalisation(name)))
    assert page.pictures("mst-digits-mlp-75").name == "digits"


def test_a_drawing_goes_the_way_of_the_data_set():
    inks, _ = digits.originals("test")
    text = "".join(page.INKS[ink] for ink in inks[0].flat)
    enlarged, _ = digits.enlarged("test")
    mean, std = (v[0] for v in data.normalisation("digits"))
    assert page.drawn(text) == pytest.approx((enlarged[:1] - mean) / std, abs=1e-6)


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "h" + "0" * 63])
def test_a_bad_drawing_is_named(text):
    with pytest.raises(ValueError, match="a digit is 64 characters of '0123456789abcdefg', not"):
        page.drawn(text)


@pytest.mark.parametrize(
    ("ann", "message"),
    [
        ("mst-nothing", r"'mst-nothing' cannot run in a page; these can: \['mst-cued-digits'"),
        ("vgg-digits", "'vgg-digits' cannot run in a page"),
        ("layernorm-digits", "'layernorm-digits' cannot run in a page"),
        (perceptron(), "only a MaskedSpikingTransformer with BatchNorm can run in a page"),
        (tiny(norm="layer"), "only a MaskedSpikingTransformer with BatchNorm can run in a page"),
    ],
)
def test_what_cannot_run_in_a_page_is_named(ann, message):
    with pytest.raises(ValueError, match=message):
        page.network(ann)


def test_no_pictures_of_an_unknown_set():
    with pytest.raises(ValueError, match="no pictures of 'imagenet'; there are digits, scenes"):
        page.pictures("imagenet")


def test_command_line_writes_the_scripts(tmp_path, capsys):
    folder = tmp_path / "new"
    assert main(["export", "--web", "mst-digits", "--folder", str(folder)]) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["mst-digits.js", "pictures-digits.js"]
    assert "mst-digits.js" in capsys.readouterr().out
    assert (folder / "mst-digits.js").read_text() == page.script("mst-digits")
    assert main(["export", "--web", "mst-nothing", "--folder", str(folder)]) == 2
    assert "cannot run in a page" in capsys.readouterr().err


def test_a_failed_export_leaves_no_half(tmp_path):
    with pytest.raises(ValueError, match="cannot run in a page"):
        page.write(tmp_path / "new", ["mst-digits", "mst-nothing"])
    assert not (tmp_path / "new").exists()


def test_golden_intermediates_of_the_scripts_are_current():
    stored, made = json.loads(engine_golden.PATH.read_text()), engine_golden.everything()
    assert stored["options"] == made["options"]
    assert set(stored["networks"]) == set(made["networks"])
    for name, one in stored["networks"].items():
        old, new = map(engine_golden.weights, (one["script"], made["networks"][name]["script"]))
        assert list(old) == list(new)
        assert all(torch.allclose(old[k], new[k], rtol=1e-4, atol=1e-6) for k in old)
        again = engine_golden.golden(name, one["script"])
        assert np.array(one["logits"]) == pytest.approx(np.array(again["logits"]), abs=1e-9)
        for what in ("pixels", "emitted", "delivered", "additions", "spikes"):
            assert one[what] == again[what], (name, what)
