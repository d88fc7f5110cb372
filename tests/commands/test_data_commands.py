"""`coursekit data …`, as its user types it."""

import pytest
from typer.testing import CliRunner

from coursekit.commands.main import app
from coursekit.core.errors import CourseError

RECIPE = """
name = "five"
source = "coco"
seed = 1
images = { train = 5, val = 3 }
split_of = { train = "val2017", val = "val2017" }
classes = ["person"]
long_side = 160
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))


def _run(*words):
    return CliRunner().invoke(app, ["data", *map(str, words)])


def test_list_names_all_and_their_state():
    out = _run("list").output
    assert all(name in out for name in ("mini", "coco-tiny", "coco-person", "coco-5class", "coco-10k", "coco-320"))
    assert "not built" in out


def test_a_dry_run_fetches_nothing(monkeypatch):
    monkeypatch.setattr("coursekit.data.subsets.build.make_client", lambda *_: pytest.fail("it went to fetch"))
    out = _run("build", "coco-tiny", "--dry-run").output
    assert "96 images, about 16 MB to fetch, 4 MB on disk" in out


def test_build_info_verify_on_real_photographs(real_coco, tmp_path):
    (tmp_path / "five.toml").write_text(RECIPE)
    built = _run("build", tmp_path / "five.toml", "--annotations", real_coco / "annotations", "--images", real_coco)
    assert "8 images, 0 missing" in built.output, built.output
    folder = built.stdout.splitlines()[-1].split(":")[0]
    info = _run("info", folder, "--out", tmp_path / "info.png")
    assert "5 images (0 with nothing in them)" in info.output
    assert (tmp_path / "info.png").stat().st_size > 10_000
    assert _run("verify", folder).exit_code == 0
    next((tmp_path / "cache").glob("five-*/train2017/*.jpg")).unlink()
    broken = _run("verify", folder)
    assert broken.exit_code == 1
    assert ": missing" in broken.output


def test_mini_needs_no_build_and_can_be_looked_into(tmp_path):
    assert "nothing to fetch" in _run("build", "mini", "--dry-run").output
    assert "val: 120 images" in _run("info", "mini", "--out", tmp_path / "a.png").output


def test_wrong_names_are_named(tmp_path):
    with pytest.raises(CourseError, match="did you mean 'coco-tiny'"):
        _run_raising("build", "coco-tinny")
    (tmp_path / "a.toml").write_text(RECIPE.replace("person", "persson"))
    with pytest.raises(CourseError, match="did you mean 'person'"):
        _run_raising("build", tmp_path / "a.toml")


def _run_raising(*words):
    CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)
