import json
import re
import shutil

import pytest

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, DataError
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook import workbook
from coursekit.report import answer, default_questions, write_report
from coursekit.report.facts import read_training
from coursekit.runs.train import train_run
from coursekit.training import TrainConfig

NMS = "from torchvision.ops import nms\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def run(many, trained, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "my_detector"))
    if not trained.exists():
        training = TrainConfig(epochs=2, batch_size=4, warmup_steps=1)
        train_run(str(many), trained, training, DetectorConfig(0, size=64, channels=16, hidden=16))
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def many(coco_folder):
    """The two images of val ten times over: intervals need some."""
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    images, annotations = content["images"], content["annotations"]
    for copy in range(1, 10):
        content["images"] = content["images"] + [one | {"id": one["id"] + 1000 * copy} for one in images]
        content["annotations"] = content["annotations"] + [
            one | {"id": one["id"] + 100 * copy, "image_id": one["image_id"] + 1000 * copy} for one in annotations
        ]
    path.write_text(json.dumps(content))
    return coco_folder


def test_a_report_of_a_real_run(run, many, tmp_path):
    workbook.store("nms", NMS)
    journals.write("03", asked="Why | <b>?", kept="# all of it")
    answer("Surprises", "It *learned*.")
    page = write_report(run, tmp_path / "report", default_questions(), data=str(many))
    text, html = (tmp_path / "report" / "report.md").read_text(), page.read_text()
    named = re.findall(r"\]\(pictures/(.+?)\.png\)", text)
    assert {"losses", "time", "classes", "errors"} <= set(named)
    assert all((tmp_path / "report" / "pictures" / f"{name}.png").exists() for name in named)
    assert html.count("data:image/png;base64,") == len(named)
    assert all(len(alt) > 20 for alt in re.findall(r'<img [^>]*alt="(.*?)"', html))
    assert "It <em>learned</em>." in html
    assert "Why | &lt;b&gt;?" in html
    assert re.findall(r"<h1", html) == ["<h1"]
    for number in ("AP_small", "AR_100"):
        assert re.search(rf"\| {number} \| (no truth|[01]\.\d{{3}}) \|", text)
    assert "| nms | the course's |" in text  # it passes now, but this run was trained without it
    assert "◐\u00a0nms" in text


def test_made_again_it_keeps_what_was_answered_and_does_not_detect_again(run, many, tmp_path, monkeypatch):
    out = tmp_path / "report"
    write_report(run, out, default_questions(), data=str(many))
    before = (out / "report.md").read_text()
    (out / "report.md").write_text(before.replace("*Your answer.*", "The crowds.", 1))
    monkeypatch.setattr("coursekit.report.facts.results_of_run", None)
    write_report(run, out, default_questions(), data=str(many))
    assert (out / "report.md").read_text() == before.replace("*Your answer.*", "The crowds.", 1)


def test_out_of_memory_and_what_was_left_out_are_told(run, many, tmp_path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines.insert(2, json.dumps({"step": 1, "event": "step 1: out of memory. From now on 2 images at a time"}))
    lines[-1] = json.dumps({"step": 2, "left_out": "1 of 3 images could not be read: 0.jpg", "memory": 3 * 2**30})
    (run / "metrics.jsonl").write_text("\n".join(lines))
    told = read_training(run)
    assert (told.events, told.memory) == (["step 1: out of memory. From now on 2 images at a time"], 3 * 2**30)
    write_report(run, tmp_path / "report", default_questions(), data=str(many))
    text = (tmp_path / "report" / "report.md").read_text()
    assert "- step 1: out of memory" in text
    assert "1 of 3 images could not be read" in text
    assert "held 3.00" in text


def test_that_a_run_went_on_is_told(run):
    assert read_training(run).events == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "device": "the same"}) + "\n")
    assert read_training(run).events == ["step 5: gone on from here after a stop"]


def test_a_run_that_found_nothing_has_a_report(run, many, tmp_path):
    out = tmp_path / "report"
    write_report(run, out, default_questions(), data=str(many))
    kept = json.loads((out / "detections.json").read_text())
    (out / "detections.json").write_text(json.dumps(kept | {"results": []}))
    write_report(run, out, default_questions(), data=str(many))
    assert "found nothing at all" in (out / "report.md").read_text()


def test_what_is_no_run_or_has_not_trained_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="no run here"):
        write_report(tmp_path, tmp_path / "report", default_questions())
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="no step in it"):
        write_report(run, tmp_path / "report", default_questions())
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be written"):
        write_report(run, tmp_path / "file", default_questions())


def test_notes_beside_the_run_are_its_project(run, many, tmp_path):
    (run / "notes.md").write_text("**Question.** Why?\n\n# no heading\n\n| seed | AP |\n|---|---|\n| 0 | +0.1 |\n")
    page = write_report(run, tmp_path / "report", default_questions(), data=str(many))
    text, html = (tmp_path / "report" / "report.md").read_text(), page.read_text()
    assert "## The project\n\n**Question.** Why?" in text
    assert "<td>+0.1</td>" in html
    assert html.count("<h1") == 1
    (run / "notes.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"notes\.md: can't be read"):
        write_report(run, tmp_path / "report", default_questions(), data=str(many))
