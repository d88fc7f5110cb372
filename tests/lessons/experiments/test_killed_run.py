import json
import sys

import pytest

from coursekit.core.errors import CourseError
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.experiments import killed_run
from tests.lessons.answers import right_answer


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 1\n", encoding="utf-8")
    return path


def test_the_same_settings_find_their_run_again(tmp_path, recipe, workbook, capsys):
    first = killed_run.folder_for(tmp_path / "mine", {"--epochs": 3}, recipe, workbook)
    assert first == tmp_path / "mine"
    assert "mine: a new run." in capsys.readouterr().out
    assert killed_run.folder_for(tmp_path / "mine", {"--epochs": 3}, recipe, workbook) == first
    assert "a run with these settings was begun and can go on" in capsys.readouterr().out
    (first / "model.safetensors").touch()
    killed_run.folder_for(tmp_path / "mine", {"--epochs": 3}, recipe, workbook)
    assert "a run with these settings has ended" in capsys.readouterr().out


def test_a_changed_setting_never_goes_on_with_the_old_run(tmp_path, recipe, workbook, capsys):
    killed_run.folder_for(tmp_path / "mine", {"--epochs": 3}, recipe, workbook)
    second = killed_run.folder_for(tmp_path / "mine", {"--epochs": 5}, recipe, workbook)
    assert second == tmp_path / "mine-2"
    assert "a run with other settings (--epochs: 3 there, 5 now). It stays as it is." in capsys.readouterr().out
    recipe.write_text("seed = 2\n", encoding="utf-8")
    assert killed_run.folder_for(tmp_path / "mine", {"--epochs": 5}, recipe, workbook).name == "mine-3"
    assert "recipe: seed = 1 there, seed = 2 now" in capsys.readouterr().out


@pytest.mark.slow
def test_a_changed_part_is_another_run(tmp_path, recipe, workbook):
    assert killed_run.folder_for(tmp_path / "mine", {}, recipe, workbook).name == "mine"
    workbook.store("level_for_box", right_answer("level_for_box"))
    check(workbook, "level_for_box")
    assert killed_run.folder_for(tmp_path / "mine", {}, recipe, workbook).name == "mine-2"


def test_a_run_of_another_origin_is_left_alone(tmp_path, recipe, workbook, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert killed_run.folder_for(tmp_path / "mine", {}, recipe, workbook).name == "mine-2"
    assert "(not from this notebook)" in capsys.readouterr().out


SCRIPT = """
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
start = 6 if "--resume" in sys.argv else 1
(folder / "config.json").write_text("{{}}")
with (folder / "metrics.jsonl").open("a") as file:
    for step in range(start, 11):
        file.write(json.dumps(dict(step=step, losses=dict(a=1 / step), lr=0.1, seconds=step)) + chr(10))
        file.flush()
        (folder / "last.pt").touch()
        time.sleep(0.2 if start == 1 else 0)
(folder / "model.safetensors").touch()
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A training that takes a step every 0.2 seconds, in place of the command."""
    folder = tmp_path / "run"
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(folder=str(folder)), encoding="utf-8")
    popen = killed_run.subprocess.Popen

    def start(command, **pipes):
        return popen([sys.executable, str(script), *command[3:]], **pipes)

    monkeypatch.setattr(killed_run.subprocess, "Popen", start)
    return folder


@pytest.mark.slow
def test_a_run_is_killed_and_goes_on(stub, capsys):
    killed_run.train_and_kill(["train"], stub, at_step=3, guess=["last.pt"])
    assert 3 <= killed_run.steps_done(stub) < 10
    assert not (stub / "model.safetensors").exists()
    printed = capsys.readouterr().out
    names = [line.split()[0] for line in printed.splitlines() if line.startswith("  ")]
    assert names == ["config.json", "last.pt", "metrics.jsonl", "train.log"]
    assert "the last checkpoint" in printed
    assert "you said: last.pt" in printed
    killed_run.train_and_kill(["train"], stub, at_step=3)
    assert "nothing is killed" in capsys.readouterr().out
    killed_run.resume(["train"], stub, steps=10)
    assert killed_run.steps_done(stub) >= 8
    killed_run.resume(["train"], stub, steps=10)
    assert "has ended before" in capsys.readouterr().out
    killed_run.show_run(stub)
    assert " steps in 10 seconds of training" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_does_not_start_says_why(tmp_path):
    with pytest.raises(CourseError, match="the run didn't start: .*nothing-there"):
        killed_run.train_and_kill(["train", "--data", "nothing-there", "--out", "x"], tmp_path / "run", at_step=1)


def test_steps_are_counted_once(tmp_path):
    lines = [{"step": 1, "losses": {}}, {"step": 2, "losses": {}}, {"step": 2, "losses": {}}, {"step": 2, "AP": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert killed_run.steps_done(tmp_path) == 2
    assert killed_run.steps_done(tmp_path / "nowhere") == 0
