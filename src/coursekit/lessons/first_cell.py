"""What a kernel knows before the first cell of a lesson: `%%exercise` exists, and says that this cell comes first.

Kernels load this extension when they start, because `ipython_kernel_config.json` beside this file, installed as
`etc/ipython/ipython_kernel_config.json` of the environment, names it. So it must import nothing heavy.
"""

from typing import Any

WORDS = (
    "This kernel has just started and doesn't know your exercises yet: run the notebook's first cell, then this one."
)


def load_ipython_extension(shell: Any) -> None:
    """Register a `%%exercise` that only says what to do. The one of the lessons takes its place."""
    if "exercise" not in shell.magics_manager.magics["cell"]:
        shell.register_magic_function(_not_yet, "cell", "exercise")


def _not_yet(line: str, cell: str) -> None:
    from IPython.core.error import UsageError

    raise UsageError(WORDS)  # a line, without a traceback
