"""Controls: each is trained once, and measured whole and with its lesions."""

import json

import pytest
from small import SMALL

from mstlib.studies import lesions as controls
from mstlib.studies.lesions import CONTROLS, Control, results, run_controls


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The control of one small recipe, the lists of what gets trained, and the results' path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(controls.RECIPES, "mst-digits", SMALL)
    monkeypatch.setattr(controls, "IMAGES", 40)
    monkeypatch.setattr(controls.measure, "__defaults__", (40,))
    trained, real = [], controls.train

    def train(recipe, seed, **options):
        trained.append((recipe.lesion, seed))
        return real(recipe, seed, **options)

    monkeypatch.setattr(controls, "train", train)
    return trained, tmp_path / "controls.json"


def test_stored_controls_are_not_trained_again(small):
    trained, path = small
    both = (Control("mst-digits"), Control("mst-digits", lesion="branch"))
    run_controls(both, (0,), path)
    assert trained == [(None, 0), ("branch", 0)]
    whole, cut = results(path)
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
    run_controls(both, (0,), path)
    assert len(trained) == 2
    assert path.read_text() == before

    run_controls(both[1:], (0, 1), path)  # one more seed
    assert trained[2:] == [("branch", 1)]

    rows = json.loads(before)
    rows[0]["recipe"]["relu_rate"] = 1.0  # as if an older recipe had made it
    path.write_text(json.dumps(rows))
    run_controls(both, (0,), path)
    assert trained[3:] == [(None, 0)]
    assert len(results(path)) == 2


def test_controls_cover_what_the_chapter_tells():
    assert len(set(CONTROLS)) == len(CONTROLS)
    for name in ("mst-scenes", "mst-cued-digits"):
        for lesion in (None, "scores", "branch"):
            assert Control(name, lesion=lesion) in CONTROLS
    assert Control("mst-scenes", "pure").recipe.model["attention"] == "pure"
    assert Control("mst-scenes", lesion="scores").recipe.lesion == "scores"


def test_no_file_means_no_results(tmp_path):
    assert results(tmp_path / "none.json") == []


def test_patience_trains_for_longer():
    short, patient = Control("mst-scenes", lesion="scores"), Control("mst-scenes", patience=4)
    assert patient.recipe.relu_epochs == 4 * short.recipe.relu_epochs == 24
    assert short.recipe.lesion == "scores"
    assert patient.recipe.lesion is None
