"""The files around the code say the same as the code."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "coursekit"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_does_not_drift_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip == ["--constraint constraints.txt", "--editable .[course,test]"]
    assert {"course", "test"} <= set(PROJECT["optional-dependencies"])


def test_every_dependency_has_a_tested_version_and_no_address():
    constraints = (ROOT / "constraints.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", constraints, flags=re.MULTILINE))
    wanted = [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["course"],
        *PROJECT["optional-dependencies"]["test"],
    ]
    for requirement in wanted:
        assert re.split(r"[<>=\[]", requirement)[0] in pinned, requirement
    assert "://" not in constraints
    assert "--" not in constraints


def test_the_readme_names_every_lesson_and_its_commands_exist():
    readme = (ROOT / "README.md").read_text()
    for notebook in (ROOT / "course").glob("*.ipynb"):
        assert notebook.name in readme
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"`make (\w+)`", readme):
        assert f"\n{verb}:" in makefile, verb


def test_imports_follow_the_picture_of_the_rooms():
    arrows = re.findall(r"^    (\w+)\S*.* --> (\w+)", (ROOT / "docs" / "how-it-is-built.md").read_text(), re.MULTILINE)
    rooms = {room for arrow in arrows for room in arrow}
    assert {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()} <= rooms | {"interop"}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for other in _imported(path) & rooms if room in rooms else ():
            assert other == room or other in _before(room, arrows), f"{path}: {room} imports {other}"


def _imported(path):
    """The rooms that a module imports from when it is loaded."""
    lines = ast.parse(path.read_text(encoding="utf-8")).body
    modules = [line.module for line in lines if isinstance(line, ast.ImportFrom) and line.module]
    return {module.split(".")[1] for module in modules if module.startswith("coursekit.")}


def _before(room, arrows):
    """All rooms from which a way of arrows leads to this one."""
    direct = {start for start, end in arrows if end == room}
    return direct.union(*(_before(one, arrows) for one in direct))
