"""Small changes to a function's source, one at a time: what a check must notice, or what does not matter."""

import ast
import copy
import inspect
import sys
import textwrap

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Is: ast.IsNot, ast.MatMult: ast.Mult,
}  # fmt: skip
NAMES = {
    "maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max", "amax": "amin", "any": "all", "all": "any",
    "sum": "mean", "mean": "sum", "prod": "sum", "zeros": "ones", "ones": "zeros", "log": "exp", "triu": "tril",
    "zeros_like": "ones_like",
}  # fmt: skip


def mutants(function):
    """(what was changed, the changed function), for each place that can be changed.

    Lines are counted in the function; for a class, in the method, whose name comes first.
    """
    tree = _without_annotations(ast.parse(textwrap.dedent(inspect.getsource(function))))
    methods = [node for node in tree.body[0].body if isinstance(node, ast.FunctionDef)] if _is_class(tree) else []
    for place, node in enumerate(ast.walk(tree)):
        for words, change in _changes(node):
            changed = copy.deepcopy(tree)
            change(list(ast.walk(changed))[place])
            yield f"{_place_of(node, methods)}: {words}", _compiled(changed, function)


def _is_class(tree):
    return isinstance(tree.body[0], ast.ClassDef)


def _place_of(node, methods):
    line = getattr(node, "lineno", 0)
    for method in methods:
        if method.lineno <= line <= method.end_lineno:
            return f"{method.name}, line {line - method.lineno + 1}"
    return f"line {line}"


def _without_annotations(tree):
    """The same code without annotations: a change of one isn't a mutant, and `X & None` would be an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return tree


def _changes(node):
    for field in ("op",):
        kind = type(getattr(node, field, None))
        if kind in SWAPPED:
            yield (
                f"{kind.__name__} → {SWAPPED[kind].__name__}",
                lambda copied, f=field, k=kind: setattr(copied, f, SWAPPED[k]()),
            )
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        kind = type(node.ops[0])
        yield f"{kind.__name__} → {SWAPPED[kind].__name__}", lambda copied: copied.ops.__setitem__(0, SWAPPED[kind]())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in {node.value + 1, -node.value} - {node.value}:
            yield f"{node.value} → {value}", lambda copied, v=value: setattr(copied, "value", v)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} → {not node.value}", lambda copied: setattr(copied, "value", not copied.value)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield f"{node.attr} → {NAMES[node.attr]}", lambda copied: setattr(copied, "attr", NAMES[copied.attr])
    if isinstance(node, ast.UnaryOp):
        yield "no sign", lambda copied: setattr(copied, "op", ast.UAdd())
    if isinstance(node, ast.Call) and node.keywords:
        yield f"without {node.keywords[0].arg}=", lambda copied: copied.keywords.pop(0)


def _compiled(tree, function):
    names = dict(vars(sys.modules[function.__module__]))
    exec(compile(ast.fix_missing_locations(tree), "<mutant>", "exec"), names)
    return names[function.__name__]
