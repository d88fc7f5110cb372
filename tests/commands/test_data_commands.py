"""`coursekit data …`, as its user types it."""

import pytest
from typer.testing import CliRunner

from coursekit.commands.main import app
from coursekit.core.errors import CourseError
from coursekit.data.load_by_name import find_folder

RECIPE = """
name = "five"
source = "coco"
seed = 1
images = { train = 5, val = 3 }
split_of = { train = "val2017", val = "val2017" }
classes = ["person"]
long_side = 160
"""
DRAWN = """
name = "few"
source = "scenes"
seed = 1
images = { train = 3, val = 2 }
classes = ["dog"]
"""


@pytest.fixture(scope="module")
def mini():
    """Return the folder of `mini` in the user's cache."""
    return find_folder("mini")


@pytest.fixture(autouse=True)
def cache(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _run(*words):
    return CliRunner().invoke(app, ["data", *map(str, words)])


def test_list_shows_all_recipes_and_their_state():
    out = _run("list").output
    assert all(name in out for name in ("mini", "coco-tiny", "coco-person", "coco-5class", "coco-10k", "coco-320"))
    assert "not built" in out


def test_a_dry_run_fetches_nothing(monkeypatch):
    monkeypatch.setattr("coursekit.data.subsets.build.make_client", lambda *_: pytest.fail("it started a download"))
    out = _run("build", "coco-tiny", "--dry-run").output
    assert "96 images, about 16 MB to fetch, 4 MB on disk" in out


def test_build_info_verify_on_real_photographs(real_coco, tmp_path):
    (tmp_path / "five.toml").write_text(RECIPE)
    built = _run("build", tmp_path / "five.toml", "--annotations", real_coco / "annotations", "--images", real_coco)
    assert "8 images, 0 missing" in built.output, built.output
    folder = built.stdout.splitlines()[-1].split(":")[0]
    info = _run("info", folder, "--out", tmp_path / "info.png")
    assert "5 images (0 without boxes)" in info.output
    assert (tmp_path / "info.png").stat().st_size > 10_000
    assert _run("verify", folder).exit_code == 0
    next((tmp_path / "cache").glob("five-*/train2017/*.jpg")).unlink()
    broken = _run("verify", folder)
    assert broken.exit_code == 1
    assert ": missing" in broken.output


def test_mini_needs_no_build_and_can_be_inspected(mini, cache, tmp_path):
    cache.mkdir()
    (cache / mini.name).symlink_to(mini)  # drawing it takes 20 s
    assert "nothing to fetch" in _run("build", "mini", "--dry-run").output
    assert "val: 120 images" in _run("info", "mini", "--out", tmp_path / "a.png").output


def test_a_drawn_set_is_drawn_when_it_is_first_used(mini, cache, tmp_path):
    file = tmp_path / "few.toml"
    file.write_text(DRAWN)
    assert "nothing to fetch" in _run("build", file, "--dry-run").output
    out = _run("info", file, "--out", tmp_path / "a.png").output
    assert "val: 2 images" in out, out
    assert list(cache.glob("few-*/val2017/*.jpg"))


def test_misspelled_names_get_a_suggestion(tmp_path):
    with pytest.raises(CourseError, match="did you mean 'coco-tiny'"):
        _run_raising("build", "coco-tinny")
    (tmp_path / "a.toml").write_text(RECIPE.replace("person", "persson"))
    with pytest.raises(CourseError, match="did you mean 'person'"):
        _run_raising("build", tmp_path / "a.toml")


def _run_raising(*words):
    CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)
