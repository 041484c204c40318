"""Networks as folders in the form of the Hugging Face hub; the hub itself is played by a folder."""

import json
import shutil
import time

import pytest
import torch
import yaml
from tiny import pictures, tiny

import mstlib
from mstlib import CheckpointError, Masking
from mstlib.checkpoints.hub import events_side, load_model, push_model, read_config, save_model
from mstlib.cli import main
from mstlib.models.build import build

MASKED = Masking(attention=(0.75, 0.5, 0.25), blocks=(0, 2))


@pytest.fixture
def folder(tmp_path):
    model = tiny()
    model.trained_masking = MASKED
    return save_model(model, tmp_path / "net", {"data": "scenes", "seed": 3, "note": "a|b\nc"})


def test_a_network_comes_back_as_it_was(folder):
    model = load_model(folder)
    assert model.config == tiny().config
    assert model.trained_masking == MASKED
    assert not model.training
    assert read_config(folder)["about"]["seed"] == 3
    with torch.no_grad():
        assert torch.equal(model(pictures()), tiny()(pictures()))
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["README.md", "config.json", "model.safetensors"]


def test_a_convolutional_network_comes_back_too(tmp_path):
    fields = {"network": "vgg16", "in_channels": 1, "width": 4, "hidden": 16, "levels": 4}
    model = build(fields).eval()
    same = load_model(save_model(model, tmp_path))
    with torch.no_grad():
        x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        assert torch.equal(same(x), model(x))


def test_the_page_says_what_the_hub_and_the_reader_need(folder):
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["library_name"] == "mstlib"
    assert facts["datasets"] == ["scenes"]
    assert "license" not in facts  # whoever publishes it decides
    assert "0.75" in text
    assert "simulate it with the same masks" in text
    assert "| note | a\\|b c |" in text
    plain = (save_model(tiny(), folder.parent / "plain") / "README.md").read_text()
    assert "trained without masks" in plain


def test_one_door_opens_every_kind(folder):
    assert mstlib.open_model(folder).config == tiny().config
    assert mstlib.open_model("mst-digits").config == mstlib.load("mst-digits").config
    with pytest.raises(CheckpointError, match="no model 'mst-digit': neither a shipped one"):
        mstlib.open_model("mst-digit")
    with pytest.raises(CheckpointError, match="the authors published no 'cifar'"):
        mstlib.open_model("official:cifar")


def test_another_network_takes_the_place_of_the_first(folder):
    save_model(tiny(seed=5, attention="pure"), folder)
    assert load_model(folder).config.attention == "pure"
    assert load_model(folder).trained_masking is None


@pytest.mark.parametrize("stopped", ["model.safetensors", "config.json"])
def test_an_interrupted_writing_is_noticed_or_harmless(folder, monkeypatch, stopped):
    from mstlib.checkpoints import hub

    write = hub.write_whole

    def dies(path, content):
        if path.name == stopped:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(hub, "write_whole", dies)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny(seed=5), folder)
    if stopped == "model.safetensors":
        assert load_model(folder).trained_masking == MASKED  # the old one, whole
    else:
        with pytest.raises(CheckpointError, match="its writing was interrupted"):
            load_model(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "it has no config.json"),
        ("config.json", "{", "config.json is damaged"),
        ("config.json", "[]", "of another kind, None"),
        ("config.json", '{"model_type": "bert"}', "of another kind, 'bert'"),
        ("model.safetensors", None, "no such file"),
        ("model.safetensors", "", "damaged or truncated"),
    ],
)
def test_a_bad_folder_is_refused(folder, file, content, message):
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"depth": 3}}, "does not fit its network.*depth"),
        ({"network": {"width": 24}}, "does not fit its network"),
        ({"masking": {"attention": 2}}, r"in \[0, 1\)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder, change, message):
    config = json.loads((folder / "config.json").read_text())
    config["masking"] = change.get("masking", config["masking"])
    config["network"] |= change.get("network", {})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


DAMAGED = "config.json is damaged: {} should be a dictionary, not {}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": [1]}, DAMAGED.format("network", "a list")),
        ({"network": 5}, DAMAGED.format("network", 5)),
        ({"network": None}, DAMAGED.format("network", None)),
        ({"masking": [1]}, DAMAGED.format("masking", "a list")),
        ({"about": [1]}, DAMAGED.format("about", "a list")),
        ({"model_type": ["x\n"]}, "of another kind, a list"),
        ({"network": {"width": 0}}, "does not fit its network"),
        ({"network": {"width": "12"}}, "does not fit its network"),
        ({"network": {"window": 0}}, "does not fit its network"),
        ({"network": {"window": 10**6, "image_size": 4096}}, "does not fit its network|too many"),
        ({"network": {"image_size": 10**9}}, "does not fit its network"),
        ({"network": {"image_size": 10**400}}, "does not fit its network"),
        ({"network": {"image_size": None}}, "does not fit its network"),
        ({"network": {"depths": [10**9, -(10**9)]}}, "does not fit its network"),
        ({"network": {"depths": 2}}, "does not fit its network"),
        ({"network": {"depths": [2] * 10**5}}, "does not fit its network"),
        ({"network": {"classes": 10**12}}, "does not fit its network"),
        (
            {
                "network": {
                    "depths": [256] * 8,
                    "heads": [3] * 8,
                    "image_size": 2048,
                    "window": 2,
                }
            },
            "too few for so many blocks",
        ),
        ({"masking": {"attention": "half"}}, "does not fit its network"),
        ({"masking": {"attention": 10**400}}, "does not fit its network"),
    ],
)
def test_settings_of_another_kind_are_refused_at_once(folder, change, message):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, value in change.items():
        whole = name != "network" or not isinstance(value, dict)
        config[name] = value if whole else config[name] | value
    path.write_text(json.dumps(config))
    began = time.process_time()
    with pytest.raises(CheckpointError, match=message) as told:
        load_model(folder)
    assert len(str(told.value).splitlines()) == 1
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", [0, -32, 32 * 10**7, "32", None, [32]])
def test_images_too_large_are_refused_of_other_networks_too(tmp_path, size):
    fields = {"network": "resnet18", "in_channels": 1, "width": 4, "levels": 4}
    save_model(build(fields), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"]["image_size"] = size
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit its network"):
        load_model(tmp_path)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_network_of_empty_layers_is_refused(tmp_path):
    fields = {"network": "resnet18", "in_channels": 0, "width": 4, "levels": 4}
    with pytest.raises(CheckpointError, match=r"conv1\.weight is \(.*, and should be larger"):
        load_model(save_model(build(fields), tmp_path))


@pytest.mark.filterwarnings("ignore:this network was trained with")
@pytest.mark.parametrize(
    ("about", "side"),
    [
        (None, 32),
        ({}, 32),
        ({"recipe": "mine"}, 32),
        ({"recipe": {"events": 5}}, 32),
        ({"recipe": {"events": {"side": 64}}}, 64),
        ({"recipe": {"events": {"side": 0}}}, "a whole number >= 1, not 0"),
        ({"recipe": {"events": {"side": "64"}}}, "a whole number >= 1, not '64'"),
        ([1], "about should be a dictionary"),
    ],
)
def test_the_side_of_frames_is_found_in_what_a_stranger_wrote(folder, about, side, capsys):
    config = json.loads((folder / "config.json").read_text()) | {"about": about}
    if about is None:
        del config["about"]
    (folder / "config.json").write_text(json.dumps(config))
    evaluated = main(f"evaluate {folder} --data scenes --size 16 --images 1 --steps 1".split())
    if isinstance(side, int):
        assert events_side(folder) == side
        assert evaluated == 0
    else:
        assert evaluated == 2
        assert side in capsys.readouterr().err
    assert events_side("mst-digits") == 32


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="does not say how it was built"):
        save_model(torch.nn.Linear(2, 2), tmp_path / "net")
    with pytest.raises(ValueError, match="does not say how it was built"):
        save_model(mstlib.convert(tiny()), tmp_path / "net")
    with pytest.raises(ValueError, match="what JSON can hold"):
        save_model(tiny(), tmp_path / "net", {"when": torch.ones(1)})
    assert not (tmp_path / "net").exists()


class Hub:
    """Plays the hub: names are folders under a root."""

    def __init__(self, root):
        self.root = root

    def create_repo(self, name, *, private, exist_ok):
        (self.root / name).mkdir(parents=True, exist_ok=exist_ok)
        return f"https://hub.invalid/{name}"

    def upload_folder(self, *, repo_id, folder_path, allow_patterns):
        for file in allow_patterns:
            shutil.copy(folder_path / file, self.root / repo_id / file)

    def snapshot_download(self, name, *, allow_patterns):
        place = self.root / name
        if not place.is_dir():
            raise FileNotFoundError(name)
        assert set(path.name for path in place.iterdir()) <= set(allow_patterns)
        return str(place)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub

    played = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: played)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", played.snapshot_download)
    return played


def test_up_to_the_hub_and_back(folder, hub):
    (folder / "secret.txt").write_text("not for the hub")
    assert push_model(folder, "someone/net") == "https://hub.invalid/someone/net"
    model = mstlib.open_model("hf:someone/net")
    assert model.trained_masking == MASKED
    with torch.no_grad():
        assert torch.equal(model(pictures()), tiny()(pictures()))
    with pytest.raises(CheckpointError, match="someone/other cannot be had from the hub"):
        load_model("hf:someone/other")


def test_a_damaged_folder_is_not_uploaded(folder, hub):
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        push_model(folder, "someone/net")
    assert not hub.root.exists()


def test_without_a_connection_the_error_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="someone/net cannot be had from the hub"):
        load_model("hf:someone/net")
    with pytest.raises(CheckpointError, match="a/b/c cannot be had from the hub"):
        load_model("hf:a/b/c")
