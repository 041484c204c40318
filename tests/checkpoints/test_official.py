"""The authors' checkpoints: what they hold is read, and nothing that they hold is run."""

import os
import pickle
import sys
import time
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file, save_file
from tiny import pictures

import mstlib
from mstlib import CheckpointError, Masking
from mstlib.checkpoints import state_dicts
from mstlib.checkpoints.official import OFFICIAL, find, load_official, to_official, write_standin
from mstlib.checkpoints.state_dicts import shown

OLD = {"_use_new_zipfile_serialization": False}
REFERENCE = GOLDEN / "reference_mlp_bn.weights.safetensors"


def official(**changes):
    return load_file(REFERENCE) | changes


class CfgNode(dict):
    """Settings as the authors' code keeps them: nodes with attributes, in a class of a package."""

    def __init__(self, values):
        super().__init__({k: CfgNode(v) if isinstance(v, dict) else v for k, v in values.items()})
        self.__dict__["__immutable__"] = True
        self.__dict__["__deprecated_keys__"] = set()


@pytest.fixture
def yacs(monkeypatch):
    """Let the class above be pickled as that package's, and forget the package again."""
    package, module = types.ModuleType("yacs"), types.ModuleType("yacs.config")
    module.CfgNode = CfgNode
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", package)
        patch.setitem(sys.modules, "yacs.config", module)
        yield patch


def published(weights, ratio=0.0, size=32, **more):
    """All that a published file holds: weights, optimiser, schedule, scaler, settings."""
    parameters = [torch.nn.Parameter(v.clone()) for v in weights.values() if v.is_floating_point()]
    optimiser = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    model = {"DROP_PATH_RATE": 0.2, "MST": {"DEPTHS": [2, 2], "MASKING_RATIO": ratio}}
    settings = {"DATA": {"IMG_SIZE": size}, "MODEL": model, "TAG": "default", "AMP": (0.9, None)}
    return {
        "model": weights,
        "optimizer": optimiser.state_dict(),
        "lr_scheduler": {"base_values": [1e-4], "t_in_epochs": False},
        "max_accuracy": 97.27,
        "scaler": {"scale": 65536.0, "_growth_tracker": 3},
        "epoch": 299,
        "config": CfgNode(settings),
    } | more


class Payload:
    """What an attacker pickles: unpickling it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch.save", "inside a state dict", 2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path, form, suffix):
    marker, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    if isinstance(form, int):
        path.write_bytes(pickle.dumps(Payload(marker), protocol=form))
    elif form == "torch.save":
        torch.save(Payload(marker), path)
    else:
        torch.save({"model": official() | {"head.bias": Payload(marker)}}, path)
    with pytest.raises(CheckpointError, match=rf"evil{suffix} holds more than .*refused"):
        load_official(path)
    assert not marker.exists()


def test_the_payload_of_these_tests_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrapped", [False, True], ids=["state dict", "under 'model'"])
def test_a_pth_of_tensors_loads(tmp_path, wrapped):
    path = tmp_path / "good.pth"
    torch.save({"model": official(), "epoch": 3} if wrapped else official(), path)
    x = pictures(2, side=32)
    with torch.no_grad():
        assert torch.equal(load_official(path)(x), load_official(REFERENCE)(x))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    (torch.save if suffix == ".pth" else save_file)(official(), whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=rf"cut{suffix} is damaged or truncated"):
        load_official(path)


def test_files_that_hold_something_else_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file: .*nowhere\.pth"):
        load_official(tmp_path / "nowhere.pth")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"list\.pth is not a state dict"):
        load_official(tmp_path / "list.pth")
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors is not in the layout of the auth"
    ):
        load_official(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra.weight": torch.ones(2)}, "the state dict does not fit its network.*extra.weight"),
        ({"head.bias": torch.ones(3)}, "the state dict does not fit its network.*head.bias"),
        ({"head.bias": None}, "the state dict does not fit its network.*head.bias"),
        ({"head.weight": None}, "not in the layout of the authors' checkpoints.*head.weight"),
    ],
)
def test_tensors_too_many_missing_or_of_another_shape_are_named(change, message):
    weights = {k: v for k, v in official(**change).items() if v is not None}
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        load_official(weights)


def test_an_image_size_that_does_not_fit_is_refused():
    with pytest.raises(CheckpointError, match="does not divide into windows"):
        load_official(REFERENCE, image_size=40)


def test_shape_and_variant_are_read_off_the_weights():
    for name, mlp_norm in (("reference_mlp_bn", True), ("reference_mlp_plain", False)):
        path = GOLDEN / f"{name}.weights.safetensors"
        model = load_official(path, levels=16, masking=Masking(attention=0.5))
        c = model.config
        assert (c.width, c.depths, c.heads, c.window) == (24, (2, 2), (3, 6), 4)
        assert (c.mlp_ratio, c.classes, c.in_channels, c.patch_size) == (2.0, 10, 3, 4)
        assert (c.mlp_norm, c.final_norm, c.residual) == (mlp_norm, "layer", "norm")
        assert (c.attention, c.levels) == ("softmax", 16)
        assert model.trained_masking == Masking(attention=0.5)
        assert not model.training


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 2020"])
@pytest.mark.parametrize("ratio", [0, 0.0, 0.75])
def test_a_file_as_it_is_published_loads(tmp_path, yacs, ratio, legacy):
    path = tmp_path / "published.pth"
    torch.save(published(official(), ratio), path, _use_new_zipfile_serialization=not legacy)
    yacs.undo()  # readers do not have the package
    model = load_official(path)
    assert model.trained_masking == (Masking(attention=0.75) if ratio else None)
    assert model.config.levels == 16
    with torch.no_grad():
        x = pictures(2, side=32)
        assert torch.equal(model(x), load_official(REFERENCE)(x))


def test_numbers_of_numpy_do_not_hinder(tmp_path, yacs):
    torch.save(published(official(), max_accuracy=np.float64(97.27)), tmp_path / "numpy.pth")
    assert load_official(tmp_path / "numpy.pth").config.classes == 10
    torch.save(published(official(), max_accuracy=np.float64(97.27)), tmp_path / "old.pth", **OLD)
    content = (tmp_path / "old.pth").read_bytes()
    older = content.replace(b"numpy._core.m", b"numpy.core.m")  # as older versions of NumPy write
    assert older != content
    (tmp_path / "old.pth").write_bytes(older)
    assert load_official(tmp_path / "old.pth").config.classes == 10


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_settings_cannot_run_code(tmp_path, yacs):
    marker = tmp_path / "ran"
    evil = CfgNode({})
    evil.__dict__["state"] = Payload(marker)
    for number, content in enumerate(
        (
            published(official(), tag=CfgNode({"TAG": Payload(marker)})),
            published(official(), config=evil),
            published(official(), max_accuracy=Payload(marker)),
            published(official(), config=Payload(marker)),
            {"model": official(), "config": [Payload(marker)]},
        )
    ):
        path = tmp_path / f"evil{number}.pth"
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=rf"evil{number}\.pth holds more than .*refused"):
            load_official(path)
    assert not marker.exists()


# Programs in the language of pickles, each of which would write a file if it were run.
PROGRAMS = {
    "system": b"cos\nsystem\n",
    "the settings' class, called by its neighbour": b"cyacs.config\nos\n",
    "eval": b"cbuiltins\neval\n",
    "exec": b"c__builtin__\nexec\n",
    "getattr": b"cbuiltins\ngetattr\n",
    "import": b"cbuiltins\n__import__\n",
    "a method of the stand-in": b"cyacs.config\nCfgNode.__init__.__globals__\n",
    "numpy": b"cnumpy.testing._private.utils\nrunstring\n",
    "torch": b"ctorch.serialization\nload\n",
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_refused_unrun(tmp_path, program):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    words = f"open({str(marker)!r}, 'w')".encode()
    text = b"X" + len(words).to_bytes(4, "little") + words
    path.write_bytes(b"\x80\x02" + PROGRAMS[program] + text + b"\x85R.")
    with pytest.raises(CheckpointError, match=r"evil\.pth (holds more|is damaged)"):
        load_official(path)
    assert not marker.exists()


def test_a_file_that_is_damaged_anywhere_is_refused_or_read_whole(tmp_path, yacs):
    whole = tmp_path / "whole.pth"
    torch.save(published(official()), whole, _use_new_zipfile_serialization=False)
    yacs.undo()
    content = whole.read_bytes()
    x = pictures(1, side=32)
    with torch.no_grad():
        wanted = load_official(whole)(x)
        random = torch.Generator().manual_seed(0)
        refused = 0
        for place in torch.randint(4000, (40,), generator=random).tolist():  # the program's bytes
            path = tmp_path / "damaged.pth"
            path.write_bytes(
                content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
            )
            try:
                model = load_official(path)
            except CheckpointError:
                refused += 1
            else:
                assert torch.equal(model(x), wanted)
    assert refused > 10


@pytest.mark.parametrize("ratio", [1.0, -0.1, "half", [0.5]])
def test_a_ratio_that_is_none_is_refused(tmp_path, yacs, ratio):
    torch.save(published(official(), ratio), tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth: .* mask ratio .*, not in \[0, 1\)"):
        load_official(tmp_path / "odd.pth")


def test_the_reader_can_decide_with_what_a_file_was_trained(tmp_path, yacs):
    torch.save(published(official(), 0.75), tmp_path / "masked.pth")
    same = Masking(attention=0.75)
    assert load_official(tmp_path / "masked.pth", masking=same).trained_masking == same
    with pytest.warns(UserWarning, match=r"masked\.pth was trained with a mask ratio of 0\.75"):
        model = load_official(tmp_path / "masked.pth", masking=Masking(attention=0.5))
    assert model.trained_masking == Masking(attention=0.5)


def test_the_image_size_is_told_by_the_masks_or_the_settings(tmp_path, yacs):
    weights = {k: v for k, v in official().items() if not k.endswith("attn_mask")}
    assert load_official(weights).config.image_size == 32
    assert load_official(weights, image_size=64).config.image_size == 64
    torch.save(published(weights, size=64), tmp_path / "large.pth")
    assert load_official(tmp_path / "large.pth").config.image_size == 64
    torch.save(published(official(), size=64), tmp_path / "masks.pth")
    assert load_official(tmp_path / "masks.pth").config.image_size == 32  # masks are weights' own


def test_the_names_are_those_of_the_six_published_files():
    assert list(OFFICIAL) == [
        f"{name}{more}" for name in ("cifar10", "cifar100", "imagenet") for more in ("", "-75")
    ]
    assert OFFICIAL["cifar100-75"].address == (
        "https://github.com/bic-L/Masked-Spiking-Transformer/releases/download/"
        "checkpoint_with_mask/Cifar100_75._masking_ratio_checkpoint.pth"
    )


def test_a_missing_one_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.setenv("MST_CHECKPOINTS", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"cifar10 is not in .*: download https://github\.c"):
        load_official("cifar10")
    with pytest.raises(CheckpointError, match=r"no 'cifar'; there are cifar10, cifar10-75"):
        find("cifar")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """A folder with stand-ins of two of the six."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("cifar10", "cifar10-75"):
        write_standin(name, folder)
    return folder


def test_a_stand_in_is_read_as_the_published_file_will_be(rehearsal, monkeypatch):
    monkeypatch.setenv("MST_CHECKPOINTS", str(rehearsal))
    plain, masked = load_official("cifar10"), mstlib.open_model("official:cifar10-75")
    assert plain.trained_masking is None
    assert masked.trained_masking == Masking(attention=0.75)
    c = plain.config
    assert (c.image_size, c.depths, c.window, c.width) == (224, (2, 2, 6, 2), 7, 12)
    assert (c.classes, c.mlp_norm, c.levels) == (10, False, 16)
    again = load_official(to_official(plain))
    assert again.config == c
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in plain.state_dict().items())


def test_a_stand_in_never_takes_the_place_of_a_file(rehearsal):
    with pytest.raises(FileExistsError, match="it may be the published one"):
        write_standin("cifar10", rehearsal)


def test_a_file_of_another_ratio_or_of_other_classes_is_refused(rehearsal, tmp_path, monkeypatch):
    monkeypatch.setenv("MST_CHECKPOINTS", str(tmp_path))
    for wrong, message in (
        ("cifar10-75", "trained with a mask ratio of 0.75, and its settings say 0"),
        ("cifar100", "tells 10 classes apart, and the authors' cifar100 100"),
    ):
        (tmp_path / OFFICIAL[wrong].file).write_bytes(find("cifar10", rehearsal).read_bytes())
        with pytest.raises(CheckpointError, match=message):
            load_official(wrong)


def attributed(content, **attributes):
    """A dictionary that a file gives methods of its own."""
    node = OrderedDict(content)
    node.__dict__.update(attributes)
    return node


ONE = torch.ones(1)
FIRST = "layers.0.blocks.0.attn"
TABLE = f"{FIRST}.relative_position_bias_table"
NOT_PUBLISHED = "not in the layout of the authors' checkpoints"
HOSTILE = {
    "a stage far off": ({"layers.300000000.blocks.0.x": ONE}, NOT_PUBLISHED),
    "a stage farther off": ({f"layers.{'9' * 20}.blocks.0.x": ONE}, NOT_PUBLISHED),
    "a block far off": ({"layers.0.blocks.300000000.x": ONE}, "lacks 'layers.0.blocks.2"),
    "many from one": ({"extra": torch.zeros(1).expand(10**10)}, "claims .* and holds fewer"),
    "a head of many from one": (
        {"head.weight": ONE.expand(10**9, 48), "head.bias": ONE.expand(10**9)},
        "claims .* and holds fewer",
    ),
    "a number for a name": ({1: ONE}, "the name of a tensor is 1, not a text"),
    "a name with codes": ({"\x1b[31m\n": ONE}, r"no place for '\\x1b\[31m\\n'"),
    "meta": ({"head.bias": torch.empty(10, device="meta")}, "'head.bias' is not a dense tensor"),
    "sparse": ({"head.bias": torch.zeros(10).to_sparse()}, "'head.bias' is not a dense tensor"),
    "complex": ({"head.bias": torch.zeros(10) + 0j}, "kind torch.complex64"),
    "8 bits": ({"head.bias": torch.zeros(10).to(torch.float8_e5m2)}, "kind torch.float8_e5m2"),
    "whole numbers": ({"head.bias": torch.zeros(10, dtype=torch.int64)}, "kind torch.int64"),
    "beyond 32 bits": (
        {"head.bias": torch.full((10,), 1e99, dtype=torch.float64)},
        "NaN or infinite",
    ),
    "two thresholds": ({f"{FIRST}.q_if.threshold": -torch.ones(2)}, r"threshold is \(2,\)"),
    "no width": ({"patch_embed.proj.weight": torch.zeros(0, 3, 4, 4)}, "layer without a neuron"),
    "no patches": ({"patch_embed.proj.weight": torch.zeros(24, 3, 0, 0)}, "a side of 0 pixels"),
    "a flat table": ({TABLE: torch.zeros(49)}, f"{NOT_PUBLISHED}: not enough values"),
    "no heads": ({TABLE: torch.zeros(49, 0)}, "layer without a neuron"),
    "no masks": ({"layers.0.blocks.1.attn_mask": torch.zeros(0, 0, 0)}, "a side of 0 pixels"),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch gives them up
def test_quantized_weights_are_refused(tmp_path):
    numbers = torch.quantize_per_tensor(torch.zeros(10), 0.1, 0, torch.qint8)
    torch.save(official(**{"head.bias": numbers}), tmp_path / "hostile.pth")
    refused_at_once(tmp_path / "hostile.pth", "'head.bias' is not a dense tensor")


HOSTILE_SIZES = (torch.ones(3), "224", 0, -4, True, 1.5, [32])
HUGE_SIZES = (4100, 100_000, 10**9, 10**30)


def refused_at_once(source, message):
    began = time.process_time()
    with pytest.raises(CheckpointError, match=message) as told:
        load_official(source)
    assert len(str(told.value).splitlines()) == 1
    assert time.process_time() - began < 1


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_weights_are_refused_at_once(tmp_path, case):
    change, message = HOSTILE[case]
    weights = official(**{str(k): v for k, v in change.items() if k != 1}) | change
    if case == "two thresholds":
        del weights[f"{FIRST}.q_if.up"]
    refused_at_once(weights, message)
    for content in (weights, {"model": weights}):
        torch.save(content, tmp_path / "hostile.pth")
        refused_at_once(tmp_path / "hostile.pth", message)


@pytest.mark.parametrize("size", HOSTILE_SIZES, ids=lambda size: str(size)[:12])
def test_sizes_that_are_none_are_refused_at_once(tmp_path, size):
    weights = {k: v for k, v in official().items() if not k.endswith("attn_mask")}
    settings = {"DATA": {"IMG_SIZE": size}}
    torch.save({"model": weights, "config": settings}, tmp_path / "hostile.pth")
    refused_at_once(tmp_path / "hostile.pth", f"images cannot have a side of {shown(size)} pixels")


@pytest.mark.parametrize("size", HUGE_SIZES)
def test_sizes_that_are_too_large_are_refused_at_once(tmp_path, size):
    weights = {k: v for k, v in official().items() if not k.endswith("attn_mask")}
    torch.save({"model": weights, "config": {"DATA": {"IMG_SIZE": size}}}, tmp_path / "hostile.pth")
    refused_at_once(tmp_path / "hostile.pth", f"a whole number from 1 to 4096, not {size}")


def test_a_network_that_needs_far_more_than_its_weights_is_refused_unbuilt(monkeypatch):
    """Weights fit images of any size; what a network derives from it may not fit the memory."""
    monkeypatch.setattr(state_dicts, "_ROOM", 2**16)
    weights = {k: v for k, v in official().items() if not k.endswith("attn_mask")}
    assert load_official(weights, image_size=64).config.image_size == 64
    with pytest.raises(
        CheckpointError, match=r"needs [\d,]+ bytes, too many for the [\d,]+ of its"
    ):
        load_official(weights, image_size=2048)


@pytest.mark.parametrize("value", [5, torch._utils._rebuild_tensor_v2], ids=["5", "a function"])
def test_methods_that_a_file_gives_its_objects_are_not_called(tmp_path, value):
    methods = dict.fromkeys(("get", "valuez", "itemz", "keyz"), value)
    settings = attributed({"DATA": attributed({"IMG_SIZE": 64}, **methods)}, **methods)
    weights = {k: v for k, v in official().items() if not k.endswith("attn_mask")}
    content = attributed({"model": attributed(weights, **methods), "config": settings}, **methods)
    torch.save(content, tmp_path / "odd.pth", **OLD)
    written = (tmp_path / "odd.pth").read_bytes()
    for name in (b"value", b"item", b"key"):  # what writes such objects calls their methods, too
        written = written.replace(name + b"z", name + b"s")
    (tmp_path / "odd.pth").write_bytes(written)
    assert load_official(tmp_path / "odd.pth").config.image_size == 64


def test_tensors_are_taken_without_what_their_objects_carry(tmp_path):
    weights = official()
    weights[f"{FIRST}.q_if.up"].numel = 5
    torch.save(weights, tmp_path / "odd.pth")
    assert load_official(tmp_path / "odd.pth").config.classes == 10


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_refusal_does_not_say_how_to_load_it_anyway(tmp_path):
    torch.save({"x": Payload(tmp_path)}, tmp_path / "evil.pth")
    (tmp_path / "odd.pth").write_bytes(b"\x80\x02ca\x1b[1m\nb\n.")
    for name, asked in (("evil", "posix.system"), ("odd", r"a\\x1b\[1m.b")):
        with pytest.raises(CheckpointError, match=rf"refused \(it asks for '{asked}'\)$") as told:
            load_official(tmp_path / f"{name}.pth")
        assert "weights_only" not in str(told.value)
        assert str(told.value).isprintable()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_folder_with_the_name_of_a_file_is_none(tmp_path, suffix):
    (tmp_path / f"net{suffix}").mkdir()
    with pytest.raises(CheckpointError, match=f"no such file: .*net{suffix}"):
        mstlib.open_model(tmp_path / f"net{suffix}")
