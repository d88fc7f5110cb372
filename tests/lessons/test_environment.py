"""State travels in arguments: the environment is read where a process starts, and is never written."""

import ast
from pathlib import Path

import coursekit

SOURCE = Path(coursekit.__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
CHANGES = {"setdefault", "update", "pop", "clear", "putenv", "unsetenv", "popitem"}
EDGE = {  # where each variable is read
    "COURSEKIT_WORKBOOK": ["lessons/workbook/workbook.py"],
    "COURSEKIT_STRICT": ["lessons/notebooks/notebook_session.py"],
    "COURSEKIT_FAST": ["lessons/notebooks/short_form.py"],
    "COURSEKIT_CACHE": ["core/files.py"],
}


def _is_environ(node):
    return ast.unparse(node) in ("os.environ", "environ")


def _writes(tree):
    for node in ast.walk(tree):
        is_item = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and _is_environ(node.value)
        is_call = isinstance(node, ast.Attribute) and node.attr in CHANGES and ast.unparse(node.value) in (
            "os", "os.environ", "environ",
        )  # fmt: skip
        is_whole = isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and _is_environ(node)
        is_merge = isinstance(node, ast.AugAssign) and _is_environ(node.target)
        if is_item or is_call or is_whole or is_merge:
            yield ast.unparse(node)


def _reads(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv", "environ.get"):
            yield ast.literal_eval(node.args[0])
        if isinstance(node, ast.Subscript) and _is_environ(node.value):
            yield ast.literal_eval(node.slice)


def test_the_environment_is_never_written():
    assert {
        str(path.relative_to(SOURCE)): list(_writes(tree)) for path, tree in TREES.items() if [*_writes(tree)]
    } == {}


def test_a_variable_of_ours_is_read_in_one_place():
    places = {}
    for path, tree in TREES.items():
        for name in _reads(tree):
            if name.startswith("COURSEKIT_"):
                places.setdefault(name, []).append(path.relative_to(SOURCE).as_posix())
    assert places == EDGE


def test_only_notebooks_and_commands_ask_for_the_workbook_here():
    callers = {
        path.relative_to(SOURCE).as_posix()
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "workbook_here"
    }
    assert callers == {
        "lessons/notebooks/notebook_session.py",
        "commands/explain.py",
        "commands/lessons.py",
        "commands/evaluate.py",
        "commands/named.py",
    }


def test_a_write_would_be_noticed():
    for line in (
        'os.environ["A"] = "b"', 'os.environ.setdefault("A", "b")', "os.environ.clear()", 'del os.environ["A"]',
        'os.environ |= {"A": "b"}', 'os.putenv("A", "b")', "os.environ = {}",
    ):  # fmt: skip
        assert list(_writes(ast.parse(line))), line
    assert not list(_writes(ast.parse('child = os.environ | {"A": "b"}; os.environ["A"]')))
