"""What is printed where the process starts: its encoding, and errors."""

import errno
import io
import json
import sys
import warnings

import pytest
import typer
from rich.console import Console
from rich.table import Table

from coursekit.commands import main as started
from coursekit.commands.tables import cell
from coursekit.runs.doctor import Finding

COMMANDS = [["--help"], ["lessons", "status"], ["data", "list"], ["predict", "no → run", "x"]]
AWKWARD = ["a[red]b[/x]", "[/]", "[bold]", ":cat:", "猫 ✓", "x\\"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp936", "cp437", "ascii"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["lessons", "status"], ["data", "list"], ["predict", "no → run", "x"]]
)
def test_nothing_dies_in_a_pipe_of_another_encoding(monkeypatch, tmp_path, encoding, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["coursekit", *arguments])
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        started.main()
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err) if not stream.flush()]
    assert ended.value.code in (0, None) if arguments[0] != "predict" else ended.value.code == 2
    assert {"--help": "╭", "lessons": "✓ correct", "data": "━", "predict": "no → run"}[arguments[0]] in "".join(texts)


def test_a_name_with_undecodable_bytes_is_printed_as_an_escape(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp437")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        started._print_utf8()
        print("a\udcff → b")
        stream.flush()
    assert stream.buffer.getvalue().decode("utf-8").strip() == "a\\udcff → b"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left", "a.bin"),
            "a.bin: can't be written (the disk is full). Free some space",
        ),
        (OSError(errno.ENOSPC, "No space left"), "a file: can't be written (the disk is full)"),
        (PermissionError(errno.EACCES, "Permission denied", "b\x1b.bin"), "Permission denied: 'b\\x1b.bin'. Check"),
    ],
)
def test_errors_of_the_system_are_a_line_and_exit_code_2(coursekit, monkeypatch, error, message):
    def fail():
        raise error

    broken = typer.Typer()
    broken.command()(fail)
    monkeypatch.setattr(started, "app", lambda: broken(args=[], standalone_mode=False))
    done = coursekit()
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", AWKWARD)
def test_a_table_shows_names_as_they_are(name):
    table, stream = Table("class", title=cell(name)), io.StringIO()
    table.add_row(cell(name))
    Console(file=stream, width=60, color_system="truecolor", force_terminal=True).print(table)
    assert stream.getvalue().count(name) == 2


def test_doctor_shows_a_folder_with_brackets(coursekit, monkeypatch):
    findings = [Finding("disk", "[/]", True, "in /data/[red]/x[/y]")]
    monkeypatch.setattr("coursekit.runs.doctor.examine", lambda: findings)
    done = coursekit("doctor")
    assert done.returncode == 0, done.stderr
    assert "[/]" in done.stdout
    assert "/data/[red]/x[/y]" in done.stdout


@pytest.fixture
def named_folder(coco_folder):
    """A data set whose classes have awkward names."""
    for file in (coco_folder / "annotations").glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        for category, name in zip(content["categories"], ["a[red]b[/x]", "$x^2$ [/]"], strict=False):
            category["name"] = name
        file.write_text(json.dumps(content), encoding="utf-8")
    return coco_folder


def test_data_info_shows_awkward_names(coursekit, named_folder, tmp_path):
    done = coursekit("data", "info", named_folder, "--out", tmp_path / "info.png")
    assert done.returncode == 0, done.stderr
    assert "a[red]b[/x]" in done.stdout
    assert "$x^2$ [/]" in done.stdout
