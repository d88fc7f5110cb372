import pytest

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.lessons.experiments import my_subset

RECIPE = """
source = "coco"
seed = 10
images = { train = 8, val = 4 }
classes = ["cat", "dog"]
balanced = false
smallest_box = 0
crowds = "keep"
long_side = 0
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    load("mini", "val")  # drawn before the cache is another one
    monkeypatch.chdir(tmp_path)


def test_a_recipe_is_built_from_what_is_here_and_looked_at(capsys):
    file, folder = my_subset.build_here("two-classes", RECIPE, "mini")
    assert file.name == "two-classes.toml"
    assert 'name = "two-classes-mini-' in file.read_text(encoding="utf-8")
    assert load(str(file), "train").classes == load(folder, "train").classes == ["cat", "dog"]
    my_subset.look_at(folder)
    printed = capsys.readouterr().out
    assert "two-classes.toml: 12 images, 0 missing" in printed
    assert "boxes to train on, to test on" in printed


def test_what_is_wrong_with_a_recipe_is_said(capsys):
    with pytest.raises(ConfigError, match="classes"):
        my_subset.build_here("wrong", RECIPE.replace("cat", "unicorn"), "mini")
