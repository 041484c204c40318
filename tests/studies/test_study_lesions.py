"""Controls: each is trained once, and measured whole and with its lesions."""

import json

import pytest
from small import SMALL
from tiny import tiny

from mstlib.studies import lesions
from mstlib.studies.lesions import CONTROLS, ONCE, SEEDS, Control, results
from mstlib.studies.records import Table


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Controls of one small recipe: what gets trained, the results' path, and how to run some."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(lesions.RECIPES, "mst-digits", SMALL)
    monkeypatch.setattr(lesions, "IMAGES", 40)
    path = tmp_path / "lesions.json"
    monkeypatch.setattr(lesions, "TABLE", Table(path))
    trained = []

    def train(recipe, seed, **options):
        trained.append((recipe.lesion, seed))
        return tiny(seed, in_channels=1, image_size=32, patch_size=8)

    def run(controls, seeds):
        monkeypatch.setattr(lesions, "CONTROLS", controls)
        monkeypatch.setattr(lesions, "SEEDS", seeds)
        lesions.run()

    monkeypatch.setattr(lesions, "train", train)
    return trained, path, run


def test_stored_controls_are_not_trained_again(small):
    trained, path, run = small
    both = (Control("mst-digits"), Control("mst-digits", lesion="branch"))
    run(both, (0,))
    assert trained == [(None, 0), ("branch", 0)]
    whole, cut = results()
    assert (whole["model"], whole["attention"], whole["lesion"]) == ("mst-digits", "softmax", None)
    assert cut["lesion"] == "branch"
    assert set(whole["snn"]) == {"8", "16", "32", "64"}
    for share in (
        whole["qcfs"],
        whole["branch"],
        whole["scores"],
        cut["qcfs"],
        *whole["silent"].values(),
    ):
        assert 0 <= share <= 1
    assert all(".attn." in name for name in whole["silent"])
    assert not {"snn", "branch", "scores"} & set(cut)

    before = path.read_text()
    run(both, (0,))
    assert len(trained) == 2
    assert path.read_text() == before

    run(both[1:], (0, 1))  # one more seed
    assert trained[2:] == [("branch", 1)]

    rows = json.loads(before)
    rows[0]["recipe"]["relu_rate"] = 1.0  # as if an older recipe had made it
    path.write_text(json.dumps(rows))
    run(both, (0,))
    assert trained[3:] == [(None, 0)]
    assert len(results()) == 2


def test_controls_cover_what_the_chapter_tells():
    assert len(set(CONTROLS)) == len(CONTROLS)
    for name in ("mst-scenes", "mst-cued-digits"):
        for lesion in (None, "scores", "branch"):
            assert Control(name, lesion=lesion) in CONTROLS
    assert Control("mst-scenes", "pure").recipe.model["attention"] == "pure"
    assert Control("mst-scenes", lesion="scores").recipe.lesion == "scores"


def test_all_that_is_to_be_measured_is_stored_so_that_nothing_is_trained(monkeypatch):
    before = lesions.TABLE.path.read_bytes()
    monkeypatch.setattr(lesions, "train", None)
    lesions.run()
    assert lesions.TABLE.path.read_bytes() == before
    assert len(results()) == len(SEEDS) * len(CONTROLS) - (len(SEEDS) - 1) * len(ONCE)


def test_patience_trains_for_longer():
    short, patient = Control("mst-scenes", lesion="scores"), Control("mst-scenes", patience=4)
    assert patient.recipe.relu_epochs == 4 * short.recipe.relu_epochs == 24
    assert short.recipe.lesion == "scores"
    assert patient.recipe.lesion is None
