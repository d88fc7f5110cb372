"""Code of a workbook runs only where the user has named that workbook; see `commands/named.py`."""

import shutil

import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from coursekit.commands.named import workbook_for
from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError
from coursekit.data.records import Category
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.workbook import trusted_workbooks
from coursekit.lessons.workbook.trusted_workbooks import digests, remember
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.run_config import RunConfig, load_config, relative_to_run, save_config
from coursekit.runs.save_and_load import build, save_run
from coursekit.training import TrainConfig
from tests.lessons.answers import IOU

CATEGORIES = [Category(1, "person"), Category(18, "dog")]


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch):
    """The user's state folder, elsewhere than that of whoever runs the tests."""
    monkeypatch.setattr(trusted_workbooks.platformdirs, "user_state_path", lambda name: tmp_path / "state" / name)
    monkeypatch.delenv("COURSEKIT_WORKBOOK", raising=False)


@pytest.fixture
def executed(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def work(tmp_path, executed, monkeypatch):
    """A folder with a workbook whose code leaves a trace, and a run of it."""
    work = tmp_path / "work"
    workbook = Workbook(work / "my_detector")
    workbook.store("box_iou", f"open({str(executed)!r}, 'w').close()\n{IOU}")
    check(workbook, "box_iou")
    detector = DetectorConfig(2, size=64, channels=16, hidden=16)
    config = RunConfig(
        "x", CATEGORIES, detector, TrainConfig(), workbook=relative_to_run(workbook.folder, work / "run"),
        parts=["box_iou"], digests=digests(workbook, ["box_iou"]),
    )  # fmt: skip
    torch.manual_seed(0)
    save_run_in(work / "run", config)
    Image.new("RGB", (64, 64)).save(work / "a b.jpg")
    executed.unlink()
    monkeypatch.chdir(work)
    return work


def save_run_in(folder, config):
    folder.mkdir()
    save_run(folder, build(config.detector, pretrained=False), config)


COMMANDS = {
    "predict": ["predict", "run", "a b.jpg"],
    "evaluate": ["evaluate", "run", "--data", "x"],
    "compare": ["compare", "run", "run", "--data", "x"],
    "report": ["report", "run"],
    "resume": ["train", "--data", "x", "--out", "run", "--resume"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_the_workbook_beside_a_run_from_somebody_else(coursekit, work, executed, name):
    if name == "resume":
        (work / "run" / "model.safetensors").unlink()
    done = coursekit(*COMMANDS[name])
    assert done.returncode == 2
    assert "Code of a workbook runs only if you name that workbook" in done.stderr
    assert f"coursekit {COMMANDS[name][0]} --detector my_detector " in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not executed.exists()


def test_the_message_is_the_command_to_repeat(coursekit, work, executed):
    done = coursekit("predict", "run", "a b.jpg")
    assert done.stderr.strip().endswith("If you trust it: coursekit predict --detector my_detector run 'a b.jpg'")
    assert coursekit("predict", "--detector", "my_detector", "run", "a b.jpg").returncode == 0
    assert executed.exists()


def test_a_changed_or_another_workbook_is_not_taken_for_the_runs(coursekit, work, executed):
    path = work / "my_detector" / "box_iou.py"
    path.write_text(path.read_text() + "# changed\n")
    done = coursekit("predict", "run", "a b.jpg", "--detector", "my_detector")
    assert done.returncode == 2
    assert "box_iou there is not what this run was trained with" in done.stderr
    assert not executed.exists()
    done = coursekit("predict", "run", "a b.jpg", "--detector", "nowhere")
    assert (done.returncode, "no workbook here" in done.stderr) == (2, True)


def test_the_workbook_here_counts_once_the_user_has_trained_with_it(work):
    config = load_config(work / "run")
    here = Workbook(work / "my_detector")
    remember(here, config.digests)
    assert workbook_for(work / "run", []).folder == here.folder
    path = work / "my_detector" / "box_iou.py"
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(ConfigError, match="only if you name"):
        workbook_for(work / "run", [])


def test_a_copy_of_run_and_workbook_in_another_folder_does_not_count(work, tmp_path, monkeypatch):
    remember(Workbook(work / "my_detector"), load_config(work / "run").digests)
    shutil.copytree(work, tmp_path / "stranger")
    monkeypatch.chdir(tmp_path / "stranger")
    with pytest.raises(ConfigError, match="only if you name"):
        workbook_for(tmp_path / "stranger" / "run", [])


def test_the_environment_names_a_workbook_only_with_a_whole_path(work, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_WORKBOOK", "my_detector")
    with pytest.raises(ConfigError, match="only if you name"):
        workbook_for(work / "run", [])
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(work / "my_detector"))
    assert workbook_for(work / "run", []).folder == work / "my_detector"


def test_each_run_of_a_comparison_takes_the_workbook_it_was_trained_with(work, tmp_path):
    other = Workbook(tmp_path / "other" / "my_detector")
    other.store("box_iou", f"{IOU}# other\n")
    check(other, "box_iou")
    config = load_config(work / "run")
    save_run_in(work / "second", replace(config, digests=digests(other, ["box_iou"])))
    named = [work / "my_detector", other.folder]
    assert [workbook_for(work / run, named).folder for run in ("run", "second")] == named


def test_what_a_part_imports_belongs_to_its_digest(tmp_path):
    workbook = Workbook(tmp_path / "my_detector")
    workbook.begin()
    workbook.file_of("nms").write_text("from my_detector import helper\nimport my_detector.second\n")
    for name in ("helper", "second", "third"):
        workbook.file_of(name).write_text("x = 1\n")
    before = digests(workbook, ["nms"])
    assert list(before) == ["helper", "nms", "second"]
    workbook.file_of("second").write_text("x = 2\n")
    now = digests(workbook, ["nms"])
    assert [name for name in now if now[name] != before[name]] == ["second"]


def test_a_run_cannot_command_the_terminal_or_name_files_elsewhere(coursekit, work):
    config = load_config(work / "run")
    save_config(work / "run", replace(config, workbook="\x1b[31mevil\nsecond line"))
    done = coursekit("predict", "run", "a b.jpg")
    assert (done.returncode, "\x1b" in done.stderr, "damaged (workbook is no path)" in done.stderr) == (2, False, True)
    save_config(work / "run", replace(config, parts=["../../x"]))
    assert "can't be the name of a part" in coursekit("predict", "run", "a b.jpg").stderr
    save_config(work / "run", replace(config, workbook="../$(touch x) 'y'"))
    assert "--detector '$(touch x) '\"'\"'y'\"'\"''" in coursekit("predict", "run", "a b.jpg").stderr
