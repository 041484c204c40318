"""CIFAR and ImageNet, on small files in the form in which the real ones are published."""

import hashlib
import io
import pickle
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets import imagenet

from mstlib import data
from mstlib.data.standins import python2_pickle


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# CIFAR: pickles of protocol 2, written by Python 2 (byte strings) and an old NumPy


def make_cifar(name: str, root: Path, monkeypatch, per_file: int = 6) -> dict[str, tuple]:
    """Write a small CIFAR, register its checksums, and return {file: (images, labels)}."""
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    content = {}
    for file, _ in [*kind.train_list, *kind.test_list]:
        images = rng.integers(0, 256, (per_file, 3072), dtype=np.uint8)
        labels = rng.integers(0, len(data.classes(name)), per_file).tolist()
        batch = {"batch_label": file, "data": images, "filenames": ["a.png"] * per_file}
        if name == "cifar10":
            batch["labels"] = labels
        else:
            batch |= {"fine_labels": labels, "coarse_labels": [0] * per_file}
        (folder / file).write_bytes(python2_pickle(batch))
        content[file] = (images.reshape(-1, 3, 32, 32), labels)
    meta = {kind.meta["key"]: data.classes(name), "num_vis": 3072}
    (folder / kind.meta["filename"]).write_bytes(python2_pickle(meta))
    sums = {path.name: md5(path.read_bytes()) for path in folder.iterdir()}
    monkeypatch.setattr(kind, "train_list", [[file, sums[file]] for file, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[file, sums[file]] for file, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[kind.meta["filename"]]})
    return content


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_as_stored(name, tmp_path, monkeypatch):
    content = make_cifar(name, tmp_path, monkeypatch)
    for split, prefix in (("test", "test"), ("train", ("data_batch", "train"))):
        files = [file for file in content if file.startswith(prefix)]
        stored = np.concatenate([content[file][0] for file in files])
        numbers = np.concatenate([content[file][1] for file in files])
        images, labels = data.load(name, split, root=tmp_path)
        assert images.shape == (len(stored), 3, 32, 32)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        pixels = (data.denormalise(name, images) * 255).round().byte().numpy()
        known = {image.tobytes(): label for image, label in zip(stored, numbers, strict=True)}
        assert [known.pop(image.tobytes()) for image in pixels] == labels.tolist()
        assert not known

        lazy = data.dataset(name, split, tmp_path)
        assert lazy.classes == data.classes(name)
        mean, std = (torch.tensor(x)[:, None, None] for x in data.normalisation(name))
        expected = (torch.from_numpy(stored[3]) / 255 - mean) / std
        torch.testing.assert_close(lazy[3][0], expected)
        assert lazy[3][1] == numbers[3]


def test_n_and_seed_choose_among_stored_images(tmp_path, monkeypatch):
    make_cifar("cifar10", tmp_path, monkeypatch)
    whole, _ = data.load("cifar10", root=tmp_path)
    assert torch.equal(data.load("cifar10", n=4, root=tmp_path)[0], whole[:4])
    other, _ = data.load("cifar10", seed=1, root=tmp_path)
    assert not torch.equal(other, whole)
    torch.testing.assert_close(other.sum(0), whole.sum(0))
    with pytest.raises(ValueError, match="at most 6, the size of this split; got 7"):
        data.load("cifar10", n=7, root=tmp_path)


def test_the_root_may_come_from_the_environment(tmp_path, monkeypatch):
    make_cifar("cifar100", tmp_path, monkeypatch)
    monkeypatch.setenv("MST_DATA", str(tmp_path))
    assert len(data.load("cifar100")[1]) == 6


def test_numpys_complaint_about_old_pickles_does_not_reach_the_reader(tmp_path, monkeypatch):
    make_cifar("cifar10", tmp_path, monkeypatch)
    read_meta = datasets.CIFAR10._load_meta

    def complain(self):
        # What NumPy 2.4.0 to 2.4.4 say where the arrays are unpickled.
        message = "dtype(): align should be passed as Python or NumPy boolean but got `align=0`."
        warnings.warn(message, np.exceptions.VisibleDeprecationWarning, stacklevel=1)
        read_meta(self)

    monkeypatch.setattr(datasets.CIFAR10, "_load_meta", complain)
    assert len(data.load("cifar10", root=tmp_path)[1]) == 6


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("file", ["test_batch", "data_batch_3", "batches.meta"])
def test_a_tampered_cifar_file_is_refused_unopened(file, tmp_path, monkeypatch):
    make_cifar("cifar10", tmp_path, monkeypatch)
    sprung = tmp_path / "sprung"
    trap = pickle.dumps(Trap(sprung), protocol=2)
    pickle.loads(trap)
    assert sprung.exists()  # the trap works …
    sprung.unlink()
    (tmp_path / "cifar-10-batches-py" / file).write_bytes(trap)
    with pytest.raises(ValueError, match=rf"{file} is not the published file.*was not opened"):
        data.load("cifar10", root=tmp_path)
    assert not sprung.exists()  # … and was not stepped on


def test_files_of_our_own_making_are_not_taken_for_cifar(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        make_cifar("cifar10", tmp_path, patched)
    with pytest.raises(ValueError, match="data_batch_1 is not the published file"):
        data.load("cifar10", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "archive"),
    [("cifar10", "cifar-10-python.tar.gz"), ("cifar100", "cifar-100-python.tar.gz")],
)
def test_absent_cifar_says_what_to_download_and_where_to_put_it(name, archive, tmp_path):
    with pytest.raises(data.DataNotFound) as error:
        data.load(name, root=tmp_path)
    assert isinstance(error.value, FileNotFoundError)
    for part in (archive, "https://www.cs.toronto.edu/~kriz/cifar.html", str(tmp_path), "MST_DATA"):
        assert part in str(error.value)


def test_a_missing_cifar_file_is_named(tmp_path, monkeypatch):
    make_cifar("cifar10", tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(data.DataNotFound, match=r"lacks data_batch_4\."):
        data.load("cifar10", root=tmp_path)


def test_bad_requests_are_refused_before_any_file_is_sought(tmp_path):
    with pytest.raises(ValueError, match="unknown split 'val'"):
        data.load("imagenet", "val", root=tmp_path)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        data.load("cifar10", n=0, root=tmp_path)


# ImageNet: a folder of JPEGs for each of the 1000 classes, unpacked from three archives


WNIDS = [f"n{10_000_000 + 37 * k}" for k in range(1000)]


def jpeg(level: int, size: tuple[int, int] = (48, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, 128, 255 - level)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def level_of(k: int) -> int:
    return 40 + k % 200


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for k, wnid in enumerate(WNIDS):
        folder = root / "imagenet" / "val" / wnid
        folder.mkdir(parents=True)
        (folder / f"ILSVRC2012_val_{k:08}.JPEG").write_bytes(jpeg(level_of(k)))
    return root


def test_imagenet_is_read_lazily_and_cropped_to_224(unpacked):
    dataset = data.dataset("imagenet", root=unpacked)
    assert len(dataset) == 1000
    image, label = dataset[321]
    assert image.shape == (3, 224, 224)
    assert label == 321
    pixels = data.denormalise("imagenet", image) * 255
    assert (pixels[0] - level_of(321)).abs().max() < 4


def test_imagenet_loads_n_images_in_a_fixed_mixed_order(unpacked):
    images, labels = data.load("imagenet", n=5, root=unpacked)
    assert images.shape == (5, 3, 224, 224)
    assert images.dtype == torch.float32
    red = (data.denormalise("imagenet", images) * 255).mean((2, 3))[:, 0]
    assert (red - torch.tensor([level_of(k) for k in labels.tolist()])).abs().max() < 4
    assert labels.tolist() != sorted(labels.tolist())
    assert labels[:2].tolist() == data.load("imagenet", n=2, root=unpacked)[1].tolist()


def test_imagenet_without_n_loads_a_thousand(unpacked, monkeypatch):
    asked = []

    def read(source, rows):
        asked.append(len(rows))
        return torch.zeros(0), torch.zeros(0)

    monkeypatch.setattr(data.folders, "read", read)
    data.load("imagenet", root=unpacked)
    assert asked == [1000]


def test_imagenet_with_a_class_missing_is_refused(tmp_path):
    for wnid in WNIDS[:-1]:
        (tmp_path / "imagenet" / "train" / wnid).mkdir(parents=True)
    with pytest.raises(ValueError, match="holds 999 class folders instead of 1000"):
        data.dataset("imagenet", "train", root=tmp_path)


def test_absent_imagenet_says_what_to_download_and_where_to_put_it(tmp_path):
    with pytest.raises(data.DataNotFound) as error:
        data.load("imagenet", root=tmp_path)
    for part in (
        "ILSVRC2012_devkit_t12.tar.gz",
        "ILSVRC2012_img_val.tar",
        "https://image-net.org/download.php",
        str(tmp_path / "imagenet"),
    ):
        assert part in str(error.value)
    with pytest.raises(data.DataNotFound, match=r"ILSVRC2012_img_train\.tar"):
        data.load("imagenet", "train", root=tmp_path)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def make_archives(home: Path, monkeypatch) -> None:
    """Write the three archives, with one image a class, and register their checksums."""
    from scipy.io import savemat

    home.mkdir(parents=True)
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"]
    synsets = np.zeros(1001, dtype=[(field, object) for field in fields])
    # The real table also holds the groups of classes; they have children and are left out.
    rows = [(k + 1, wnid, f"thing {k}, object {k}", "", 0) for k, wnid in enumerate(WNIDS)]
    synsets[:] = [*rows, (1001, "n00000001", "everything", "", 1000)]
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    shown = [(7 * k) % 1000 for k in range(1000)]  # class of the k-th validation image
    truth = "".join(f"{k + 1}\n" for k in shown).encode()
    paths = {part: home / imagenet.ARCHIVE_META[part][0] for part in ("devkit", "val", "train")}
    with tarfile.open(paths["devkit"], "w:gz") as tar:
        add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth)
    with tarfile.open(paths["val"], "w") as tar:
        for k, label in enumerate(shown):
            add(tar, f"ILSVRC2012_val_{k + 1:08}.JPEG", jpeg(level_of(label)))
    with tarfile.open(paths["train"], "w") as tar:
        for k, wnid in enumerate(WNIDS):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as part:
                add(part, f"{wnid}_1.JPEG", jpeg(level_of(k)))
            add(tar, f"{wnid}.tar", inner.getvalue())
    sums = {part: (path.name, md5(path.read_bytes())) for part, path in paths.items()}
    monkeypatch.setattr(imagenet, "ARCHIVE_META", sums)


# Python 3.12 and 3.13 announce the safer unpacking of 3.14 when torchvision does not choose.
@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_imagenet_is_unpacked_from_its_archives(tmp_path, monkeypatch):
    make_archives(tmp_path / "imagenet", monkeypatch)
    for split in ("test", "train"):
        dataset = data.dataset("imagenet", split, root=tmp_path)
        assert len(dataset) == 1000
        for k in (0, 150, 999):
            image, label = dataset[k]
            assert label == k
            red = data.denormalise("imagenet", image)[0].mean() * 255
            assert abs(red - level_of(k)) < 4


def test_a_tampered_imagenet_archive_is_refused_unopened(tmp_path):
    home = tmp_path / "imagenet"
    home.mkdir()
    for part in ("devkit", "val"):
        (home / imagenet.ARCHIVE_META[part][0]).write_bytes(b"not an archive")
    with pytest.raises(ValueError, match=r"an archive in .* is not the published one"):
        data.load("imagenet", root=tmp_path)
    assert not (home / "val").exists()


def test_class_names():
    assert data.classes("cifar10")[6] == "frog"
    hundred = data.classes("cifar100")
    assert len(hundred) == len(set(hundred)) == 100
    assert hundred == sorted(hundred)
    thousand = data.classes("imagenet")
    assert len(thousand) == 1000
    assert thousand[1] == "goldfish"
