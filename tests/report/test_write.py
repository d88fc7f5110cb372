import json
import re
import shutil
from pathlib import Path

import pytest

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, DataError
from coursekit.evaluation import METRICS
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.report import Project, answer, beginning, default_questions, write_project, write_report
from coursekit.report.facts import read_notes, read_training
from coursekit.report.html import page
from coursekit.report.meanings import METRIC_MEANS, SETTING_MEANS
from coursekit.report.sections import table
from coursekit.runs.train_or_resume import train_run
from coursekit.training import TrainConfig
from tests.lessons.answers import right_answer

NMS = "from torchvision.ops import nms\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def workbook(tmp_path):
    return Workbook(tmp_path / "my_detector")


@pytest.fixture
def run(many, trained, tmp_path):
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
        content["images"] = content["images"] + [image | {"id": image["id"] + 1000 * copy} for image in images]
        content["annotations"] = content["annotations"] + [
            record | {"id": record["id"] + 100 * copy, "image_id": record["image_id"] + 1000 * copy}
            for record in annotations
        ]
    path.write_text(json.dumps(content))
    return coco_folder


@pytest.fixture
def few_draws(monkeypatch):
    """Draw 40 bootstrap samples, as few as are allowed, for tests that don't read intervals."""
    monkeypatch.setattr("coursekit.report.facts.DRAWS", 40)


@pytest.mark.slow
def test_a_report_of_a_real_run(workbook, run, many, tmp_path):
    workbook.store("nms", NMS)
    journals.write(workbook, "03", asked="Why | <b>?", kept="# all of it")
    answer(workbook, "Surprises", "It *learned*.")
    page = write_report(workbook, run, tmp_path / "report", default_questions(), data=str(many))
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
        assert re.search(rf"\| {number} \| (no ground truth|[01]\.\d{{3}}) \|", text)
    assert "| nms | the course's |" in text  # it passes now, but this run was trained without it
    assert "◐\u00a0nms" in text


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_made_again_it_keeps_what_was_answered_and_does_not_detect_again(workbook, run, many, tmp_path, monkeypatch):
    out = tmp_path / "report"
    write_report(workbook, run, out, default_questions(), data=str(many))
    before = (out / "report.md").read_text()
    (out / "report.md").write_text(before.replace("*Your answer.*", "The crowds.", 1))
    monkeypatch.setattr("coursekit.report.facts.results_of_run", None)
    write_report(workbook, run, out, default_questions(), data=str(many))
    assert (out / "report.md").read_text() == before.replace("*Your answer.*", "The crowds.", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_a_report_says_what_ran_out_of_memory_and_what_was_left_out(workbook, run, many, tmp_path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines.insert(2, json.dumps({"step": 1, "event": "step 1: out of memory. From now on 2 images at a time"}))
    lines[-1] = json.dumps({"step": 2, "left_out": "1 of 3 images could not be read: 0.jpg", "memory": 3 * 2**30})
    (run / "metrics.jsonl").write_text("\n".join(lines))
    training = read_training(run)
    assert "step 1: out of memory. From now on 2 images at a time" in training.events
    assert training.memory == 3 * 2**30
    write_report(workbook, run, tmp_path / "report", default_questions(), data=str(many))
    text = (tmp_path / "report" / "report.md").read_text()
    assert "- step 1: out of memory" in text
    assert "1 of 3 images could not be read" in text
    assert "the run used 3.00 GiB" in text


def test_a_report_says_that_a_run_was_resumed(run):
    before = read_training(run).events
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "device": "the same"}) + "\n")
    assert read_training(run).events == [*before, "step 5: resumed from here after a stop"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_a_run_that_found_nothing_has_a_report(workbook, run, many, tmp_path):
    out = tmp_path / "report"
    write_report(workbook, run, out, default_questions(), data=str(many))
    stored = json.loads((out / "detections.json").read_text())
    (out / "detections.json").write_text(json.dumps(stored | {"results": []}))
    write_report(workbook, run, out, default_questions(), data=str(many))
    assert "found nothing at all" in (out / "report.md").read_text()


def test_a_folder_without_a_trained_run_is_refused(workbook, run, tmp_path):
    with pytest.raises(DataError, match="no run here"):
        write_report(workbook, tmp_path, tmp_path / "report", default_questions())
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(DataError, match="there is no step in it"):
        write_report(workbook, run, tmp_path / "report", default_questions())
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be written"):
        write_report(workbook, run, tmp_path / "file", default_questions())


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_notes_beside_the_run_are_its_project(workbook, run, many, tmp_path):
    (run / "notes.md").write_text("**Question.** Why?\n\n# no heading\n\n| seed | AP |\n|---|---|\n| 0 | +0.1 |\n")
    page = write_report(workbook, run, tmp_path / "report", default_questions(), data=str(many))
    text, html = (tmp_path / "report" / "report.md").read_text(), page.read_text()
    assert "## The project\n\n**Question.** Why?" in text
    assert "<td>+0.1</td>" in html
    assert html.count("<h1") == 1
    (run / "notes.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"notes\.md: can't be read"):
        write_report(workbook, run, tmp_path / "report", default_questions(), data=str(many))


@pytest.mark.slow
@pytest.mark.usefixtures("few_draws")
def test_in_short_has_question_answer_and_verdict_and_all_that_was_written(workbook, run, many, tmp_path):
    for name in ("to_coco_results", "warmup_cosine", "average_precision"):
        workbook.store(name, right_answer(name))
        check(workbook, name)
    project = Project(question="Do <b>four</b> classes help?", guess="+0.05", answer="AP +0.02", verdict="open: no")
    write_project(run, project)
    page = write_report(workbook, run, tmp_path / "report", default_questions(), data=str(many))
    text, html = (tmp_path / "report" / "report.md").read_text(), page.read_text()
    in_short = text[text.index("## In short") : text.index("## The project")]
    assert in_short.index("| question | Do \\<b>four\\</b> classes help? |") < in_short.index("| answer | AP +0.02 |")
    assert "| verdict | open: no |" in in_short
    assert re.search(
        r"\| written by me \| 2 of \d+ exercises; in this run 0 of the \d+ parts of the detector \|", in_short
    )
    assert "95 of 100" not in text
    assert "**My guess:** +0.05" in text
    assert "| real_step | the course's |" in text
    assert "<b>four" not in html
    assert re.search(r"\| 08 Training \| 1 \| 0 \| 0 \| \d+ \|", text)
    assert re.search(r"\| 09 Evaluation \| 1 \| 1 \| 0 \| \d+ \|", text)  # to_coco_results: delegated, and untested
    assert re.search(r"\| AP_small \| \S.* \| AP of objects up to 32² pixels \|", text)
    assert re.search(r"\| warmup_steps \| 1 \| steps in which the learning rate rises \|", text)
    assert "question" in beginning(page).data


def test_each_setting_and_each_number_has_a_meaning():
    assert set(SETTING_MEANS) == {*DetectorConfig.__struct_fields__, *TrainConfig.__struct_fields__}
    assert set(METRIC_MEANS) == set(METRICS)


def test_the_command_takes_the_workbook_that_is_named_or_the_one_here(coursekit, run, workbook, tmp_path, monkeypatch):
    used = []

    def write(workbook, run, out, questions, **options):
        used.append(workbook.folder)
        return out / "report.html"

    monkeypatch.setattr("coursekit.report.write_report", write)
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "here" / "my_detector"))
    for words in ((), ("--workbook", workbook.folder)):
        assert coursekit("report", run, *words).returncode == 0
    assert used == [tmp_path / "here" / "my_detector", workbook.folder]


LINE = '{"step": 1, "losses": {"a": 1}, "lr": 1, "seconds": 1, "images": 1}'


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1, "losses": 5}', '{"step": 1, "losses": {"a": "x"}}', '{"step": 1, "losses": {"a": 1}}', "7",
        LINE.replace('"a": 1', '"a": 1e300'),
        LINE + "\n" + LINE.replace('"a"', '"b"'), LINE + '\n{"step": 1, "device": 5}',
        LINE + '\n{"step": 1, "AP": "x"}', LINE[:-1] + ', "phases": {"x": 1}}',
        LINE + '\n{"step": 1, "memory": -5}',
    ],
)  # fmt: skip
def test_lines_that_no_run_writes_are_refused(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        read_training(tmp_path)


def test_links_out_of_the_run_are_neither_read_nor_written(run, workbook, tmp_path, coursekit):
    (tmp_path / "secret").write_text("secret")
    (run / "notes.md").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="leads out of"):
        read_notes(run)
    (tmp_path / "elsewhere").mkdir()
    (run / "report").symlink_to(tmp_path / "elsewhere")
    done = coursekit("report", run)
    assert (done.returncode, "leads out of" in done.stderr) == (2, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_values_of_a_run_are_no_markdown():
    shown = table(("a", "b"), [("<img src=x>", "[x](http://y) ![](z) `c` | d\n# e \x1b[2J")])
    html = page("t", shown, Path())
    assert "<img" not in html
    assert "<a" not in html
    assert "<h1" not in html
    assert "\x1b" not in html


def test_a_workbook_that_is_not_named_is_only_read(coursekit, run, many, tmp_path, monkeypatch):
    mine = Workbook(tmp_path / "stranger" / "my_detector")
    mine.begin()
    mine.file_of("nms").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()\n{NMS}")
    monkeypatch.chdir(mine.folder.parent)
    monkeypatch.delenv("COURSEKIT_WORKBOOK", raising=False)
    monkeypatch.setattr("coursekit.report.facts.DRAWS", 40)
    done = coursekit("report", run, "--data", many, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()
    assert "✗\u00a0nms" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
