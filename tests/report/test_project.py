import pytest

from coursekit.core.errors import DataError
from coursekit.report.project import FILE, MOST_BYTES, Project, read_project, texts, write_project

ASKED = Project(question="Do four classes help?", answer="AP +0.02", verdict="open")


def test_what_is_written_is_read_again(tmp_path):
    write_project(tmp_path, ASKED)
    assert read_project(tmp_path) == ASKED
    assert texts(ASKED) == {"Question": "Do four classes help?", "Answer": "AP +0.02", "Verdict": "open"}


def test_a_run_without_a_project_has_empty_texts(tmp_path):
    assert read_project(tmp_path) == Project()
    assert texts(Project()) == {}


@pytest.mark.parametrize(
    "content", [b"{", b'{"question": 3}', b'{"other": "x"}', b"\xff", b'{"question": "' + b"x" * MOST_BYTES + b'"}']
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(DataError, match="project.json: damaged .* Fix it in an editor, or remove it"):
        read_project(tmp_path)


def test_a_link_out_of_the_run_is_not_followed(tmp_path):
    (tmp_path / "secret.json").write_text('{"question": "secret"}')
    run = tmp_path / "run"
    run.mkdir()
    (run / FILE).symlink_to(tmp_path / "secret.json")
    with pytest.raises(DataError):
        read_project(run)
