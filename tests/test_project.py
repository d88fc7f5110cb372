"""The files around the code say the same as the code."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
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
