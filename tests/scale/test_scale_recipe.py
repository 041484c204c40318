"""Recipes at full scale: the files that come along, and what is refused by name."""

import json
from dataclasses import replace

import pytest

from mstlib.scale.recipe import EVENT_SETS, RecipeError, ScaleRecipe, names, read


def test_there_is_a_recipe_for_each_published_set():
    assert names() == [
        "action-recognition",
        "asl-dvs",
        "cifar10",
        "cifar10-dvs",
        "cifar100",
        "imagenet",
        "n-caltech101",
        "n-cars",
    ]


@pytest.mark.parametrize("name", names())
def test_its_network_is_swin_tiny_as_the_paper_draws_it(name):
    recipe = read(name)
    assert recipe.data == name
    assert recipe.start == "timm"
    assert recipe.qcfs.levels == 16
    config = recipe.config()
    assert (config["image_size"], config["width"], config["depths"]) == (224, 96, (2, 2, 6, 2))
    assert (config["final_norm"], config["residual"]) == ("batch", "x")
    assert config["levels"] is None
    events = name in EVENT_SETS
    assert (config["in_channels"], config["reduction"]) == ((16, 3) if events else (3, None))
    assert bool(recipe.augment.mixup) is not events


def test_the_size_is_that_of_the_paper():
    from mstlib.models.build import build

    cifar = build(read("cifar10").config())
    assert sum(p.numel() for p in cifar.parameters()) == 27_527_168


def test_entries_can_be_changed():
    recipe = read("cifar10", ["optimiser.rate=1", "model.width=48", "start=none", "updates=2"])
    assert recipe.optimiser.rate == 1.0
    assert recipe.config()["width"] == 48
    assert (recipe.start, recipe.updates) == ("none", 2)
    assert read("cifar10").optimiser.rate == 1e-4


def test_a_recipe_may_be_a_file_of_the_reader(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('data = "scenes"\n[qcfs]\nlevels = 4\n')
    assert read(file).qcfs.levels == 4
    file.write_text("data = ")
    with pytest.raises(RecipeError, match=r"recipe mine\.toml: Invalid value"):
        read(file)
    file.write_text("[qcfs]\nlevels = 4\n")
    with pytest.raises(RecipeError, match="it does not say data"):
        read(file)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("rate=1", "unknown entry 'rate'; it may have data, about, start"),
        ("optimiser.rat=1", r"unknown entry 'optimiser.rat'; \[optimiser\] may have name, rate"),
        ("start.x=1", "unknown entry 'start.x': start is a value"),
        ("optimiser.rate=fast", "optimiser.rate must be a number, not 'fast'"),
        ("optimiser.rate=0", "optimiser.rate must be above 0, not 0"),
        ("batch.images=2.5", "batch.images must be a whole number, not 2.5"),
        ("batch.images=true", "batch.images must be a whole number, not True"),
        ("batch.images=0", "batch.images must be from 1 to inf, not 0"),
        ("augment.scale=[1.0]", "augment.scale must be a list of 2, not"),
        ("augment.scale=[2.0, 0.1]", r"augment.scale must be two shares .*, not \[2.0, 0.1\]"),
        ("augment.scale=[0.0, 0.0]", r"augment.scale must be .* above 0 .*, not \[0.0, 0.0\]"),
        ("augment.scale=[0.1, nan]", r"augment.scale must be .* at most 1"),
        ("augment.changes=['melt']", "augment.changes must be some of roll, rotate"),
        ("optimiser=3", "optimiser must be a table, not 3"),
        ("data=moons", "data must be one of digits, .* not 'moons'"),
        ("distil.share=nan", "distil.share must be from 0 to 1, not nan"),
        ("optimiser.rate", "a change is written NAME=VALUE"),
    ],
)
def test_what_makes_no_sense_is_named(change, complaint):
    with pytest.raises(RecipeError, match=r"recipe cifar10\.toml: " + complaint):
        read("cifar10", [change])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("widht=3", ".*unexpected keyword argument 'widht'"),
        ("image_size=100", "stage 0: a map of 25 tokens"),
        ("width=0", "width must be a whole number from 1 to 8192, not 0"),
        ("heads=[0, 0]", "each of heads must be a whole number from 1 to 1024, not 0"),
        ("mlp_ratio=inf", "mlp_ratio must be a number above 0 and at most 64, not inf"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(change, complaint):
    with pytest.raises(RecipeError, match=f"^model: {complaint}"):
        read("cifar10", [f"model.{change}"]).config()


def test_the_classes_are_those_of_the_data():
    assert read("cifar10", ["model.classes=10"]).config()["classes"] == 10
    with pytest.raises(RecipeError, match=r"model\.classes must be 10, the classes of cifar10, n"):
        read("cifar10", ["model.classes=5"]).config()


def test_an_unknown_recipe_is_refused():
    with pytest.raises(RecipeError, match="no recipe 'cifar': name a file, or one of action-rec"):
        read("cifar")


def test_what_decides_the_weights_is_told_from_what_does_not():
    recipe = read("cifar10")
    assert json.loads(json.dumps(recipe.deciding())) == recipe.deciding()
    workers = read("cifar10", ["batch.workers=0", "keep.updates=5", "about=other"])
    assert workers.deciding() == recipe.deciding()
    for change in ("batch.images=512", "qcfs.levels=8", "model.width=48", "start=none"):
        assert read("cifar10", [change]).deciding() != recipe.deciding()
    assert replace(recipe, updates=3).deciding()["updates"] == 3


def test_a_recipe_in_code_is_checked_as_one_in_a_file():
    with pytest.raises(RecipeError, match="data must be one of"):
        ScaleRecipe("moons")
