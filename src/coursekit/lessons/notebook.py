"""What a notebook gets from the course: the cell magic `%%exercise`, and `check`."""

from typing import Any

from IPython.core.getipython import get_ipython

from coursekit.lessons import judge as checks
from coursekit.lessons import workbook
from coursekit.lessons.judge import Verdict


def check(name: str) -> Verdict:
    """Check an exercise. Afterwards its name stands for your answer where that is correct, else for the reference."""
    verdict = checks.check(name)
    shell: Any = get_ipython()
    if shell is not None:
        shell.user_ns[name] = checks.chosen(name)
    return verdict


def exercise(line: str, cell: str) -> None:
    """`%%exercise NAME`: keep the cell as a module of `my_detector`, run it there, put its names into the notebook."""
    module = workbook.store(line.strip(), cell)
    names = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    shell: Any = get_ipython()
    shell.user_ns.update(names)


def register() -> None:
    """Make the magic known, where there is a notebook."""
    shell: Any = get_ipython()
    if shell is not None:
        shell.register_magic_function(exercise, "cell", "exercise")
