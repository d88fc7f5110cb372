"""The files around the code say the same as the code."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

from coursekit.export.packages import PACKAGES

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
        *PROJECT["optional-dependencies"]["export"],
    ]
    for requirement in wanted:
        assert re.split(r"[<>=\[]", requirement)[0] in pinned, requirement
    assert "://" not in constraints
    assert "--" not in constraints


def test_the_packages_for_exporting_are_there_where_tests_run():
    extras = PROJECT["optional-dependencies"]
    assert set(extras["export"]) <= set(extras["test"])
    assert [re.split(r"[<>=]", requirement)[0] for requirement in extras["export"]] == list(PACKAGES)


def test_the_readme_names_every_lesson_and_its_commands_exist():
    readme = (ROOT / "README.md").read_text()
    for notebook in (ROOT / "course").glob("*.ipynb"):
        assert notebook.name in readme
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"`make (\w+)`", readme):
        assert f"\n{verb}:" in makefile, verb


def test_rooms_import_only_from_rooms_before_them():
    text = (ROOT / "docs" / "how-it-is-built.md").read_text(encoding="utf-8")
    rooms = re.search(r"^    (core → .*)$", text, re.MULTILINE)[1].split(" → ")
    assert {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()} == set(rooms)
    assert {path.stem for path in SOURCE.glob("*.py")} == {"__init__", "__main__"}
    for module, imported in IMPORTS.items():
        for other in imported:
            room, other_room = (name.split(".")[1] if "." in name else "" for name in (module, other))
            if room in rooms and other_room in rooms:
                assert rooms.index(other_room) <= rooms.index(room), f"{module} imports {other}"


def test_no_modules_import_each_other_in_a_circle():
    done = set()

    def visit(module, path):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in IMPORTS.get(module, ()):
                visit(other, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])


def test_modules_are_imported_by_statements_that_these_tests_see():
    for path in SOURCE.rglob("*.py"):
        if path != SOURCE / "lessons" / "exercises" / "__init__.py":  # loads exercises by name
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bimport_module\b|\b__import__\b", text), path


def _name(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("coursekit", *(part for part in parts if part != "__init__")))


def _imported(path):
    """The modules of coursekit that a module imports, also inside functions; a package is its `__init__.py`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in submodules}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & MODULES - {_name(path)}


MODULES = {_name(path) for path in SOURCE.rglob("*.py")}
IMPORTS = {_name(path): _imported(path) for path in SOURCE.rglob("*.py")}


def _text_calls_without_encoding(path):
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and not any(keyword.arg == "encoding" for keyword in call.keywords):
            is_builtin = isinstance(call.func, ast.Name) and call.func.id == "open"
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            mode = call.args[is_builtin:][:1]
            is_text = mode[0].value in ("r", "w", "a", "x") if mode and isinstance(mode[0], ast.Constant) else False
            if name in ("read_text", "write_text") or (is_text and name == "open") or (is_builtin and not mode):
                yield f"{path.relative_to(ROOT)}:{call.lineno}"


def test_text_is_read_and_written_in_utf8():
    files = [path for path in (ROOT / "src" / "coursekit").rglob("*.py") if path.parent.name != "exercises"]
    assert [place for path in files for place in _text_calls_without_encoding(path)] == []
