import json
import subprocess
import sys

import nbformat
import pytest

from coursekit.core.errors import CourseError
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.notebooks import lesson_rules
from coursekit.lessons.notebooks.build import BEGIN, END, RUN_FIRST, build, known_exercises

LESSON = f'''# %% [markdown]
# # A lesson

# %% tags=["setup"]
from coursekit.lessons import check

# %%
# %%exercise nms
def nms(x):
    """Twice x."""
    {BEGIN}
    twice_the_value_of_x = 2 * x
    return twice_the_value_of_x
    {END}


# %%
check("nms")

# %%
print(nms(2))

# %%
print(nms(2))
'''


@pytest.fixture(autouse=True)
def without_rules(monkeypatch):
    """The lessons here are too short for the rules of given code, minutes and badges; see test_rules.py."""
    monkeypatch.setattr(lesson_rules, "ENFORCED", ())


@pytest.fixture
def root(tmp_path):
    for folder in ("solutions", "course"):
        (tmp_path / folder).mkdir()
    (tmp_path / "solutions" / "00_a.py").write_text(LESSON)
    return tmp_path


def _notebook(root, folder):
    return json.loads((root / folder / "00_a.ipynb").read_text())


def test_two_notebooks_from_one_source(root):
    assert len(build(root)) == 2
    solved, open_ = _notebook(root, "solutions"), _notebook(root, "course")
    for notebook in (solved, open_):
        nbformat.validate(nbformat.from_dict(notebook))
        assert all(not cell.get("outputs") for cell in notebook["cells"])
    code = "".join(open_["cells"][2]["source"])
    assert code.startswith("%%exercise nms\n")
    assert code.endswith('    raise NotImplementedError("nms: your code here")')
    assert "".join(solved["cells"][2]["source"]).endswith(END)
    assert open_["cells"][2]["id"] == "nms"
    assert open_["cells"][2]["metadata"]["nbgrader"]["schema_version"] == 3


def test_the_first_cell_says_when_to_run_it(root):
    build(root)
    first, *others = [cell for cell in _notebook(root, "course")["cells"] if cell["cell_type"] == "code"]
    assert first["source"] == [f"{RUN_FIRST}\n", "from coursekit.lessons import check"]
    assert not any(RUN_FIRST in "".join(cell["source"]) for cell in others)


def test_no_line_of_a_solution_leaks(root):
    build(root)
    assert "twice_the_value_of_x" not in (root / "course" / "00_a.ipynb").read_text()


def test_the_same_bytes_each_time_and_no_id_twice(root):
    build(root)
    before = (root / "course" / "00_a.ipynb").read_bytes()
    (root / "course" / "00_a.ipynb").unlink()
    build(root)
    assert (root / "course" / "00_a.ipynb").read_bytes() == before
    ids = [cell["id"] for cell in _notebook(root, "course")["cells"]]
    assert len(set(ids)) == len(ids)


def test_check_names_what_is_stale_and_changes_nothing(root):
    build(root)
    assert build(root, check=True) == []
    path = root / "course" / "00_a.ipynb"
    path.write_text(path.read_text() + " ")
    changed = path.read_bytes()
    with pytest.raises(CourseError, match=r"course/00_a\.ipynb"):
        build(root, check=True)
    assert path.read_bytes() == changed


def test_a_notebook_without_a_source_is_named_and_removed(root):
    build(root)
    orphan = root / "course" / "01_gone.ipynb"
    orphan.write_text("{}")
    with pytest.raises(CourseError, match="01_gone"):
        build(root, check=True)
    build(root)
    assert not orphan.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"    {END}\n", "", "without"),
        (f"    {BEGIN}\n", "", "in the wrong place"),
        ("print(nms(2))\n\n", LESSON, "twice"),
        ("# %%exercise nms", "# %%exercise nsm", "no cases and hints"),
        ('check("nms")', "pass", "no cell after nms"),
        ("print(nms(2))", "twice_the_value_of_x = 2 * x", "is also in the student's version"),
        (f"    {BEGIN}\n    twice_the_value_of_x = 2 * x\n", "", "in the wrong place"),
    ],
)
def test_a_wrong_source_is_refused(root, old, new, words):
    source = root / "solutions" / "00_a.py"
    source.write_text(source.read_text().replace(old, new, 1))
    with pytest.raises(CourseError, match=words) as caught:
        build(root)
    assert "00_a.py" in str(caught.value)
    assert not list((root / "course").iterdir())


def test_an_enforced_lesson_that_breaks_a_rule_is_refused(root, monkeypatch):
    build(root)
    monkeypatch.setattr(lesson_rules, "ENFORCED", (0,))
    with pytest.raises(CourseError, match=r"00_a\.py: the cell that begins 'print\(nms\(2\)\)' has no tag"):
        build(root)


def test_notes_for_instructors_are_in_their_version_only(root):
    source = root / "solutions" / "00_a.py"
    source.write_text(f'{source.read_text()}\n# %% [markdown] tags=["instructor"]\n# Ask them why.\n')
    build(root)
    assert "Ask them why." in (root / "solutions" / "00_a.ipynb").read_text()
    assert "Ask them why." not in (root / "course" / "00_a.ipynb").read_text()


def test_known_exercises_are_those_of_the_course():
    assert known_exercises() == {name: exercise.minutes for name, exercise in EXERCISES.items()}


@pytest.mark.slow
def test_building_is_quick():
    code = "import sys; from coursekit.lessons.notebooks.build import build; build(check=True)"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() in ("False", ""), done.stderr  # torch alone would take seconds
