"""Execute the lessons, one at a time and in order: `coursekit lessons run solutions`."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file, shipped
from coursekit.lessons.notebooks.build import checkout

CELL_SECONDS = 600


@dataclass(frozen=True)
class Executed:
    """The result of executing a notebook.

    Attributes:
        name: name of the notebook.
        cells: number of code cells that were run.
        seconds: seconds of all cells.
        slowest: seconds of the cell that took longest.
        problem: the error that stopped it, in one line; None if there was none.
        file: the executed notebook.
    """

    name: str
    cells: int
    seconds: float
    slowest: float
    problem: str | None
    file: Path


def run_lessons(version: Literal["solutions", "course"], out: Path, lesson: int | None = None) -> Iterator[Executed]:
    """Execute notebooks with one workbook in a temporary folder, and save them with their outputs in `out`.

    Args:
        version: "solutions" runs strictly: an answer that is not correct stops it.
        out: folder for the executed notebooks.
        lesson: run only this one.

    Raises:
        ConfigError: there is no such lesson, or `out` can't be written.
    """
    folder = checkout() / "solutions" if version == "solutions" else shipped("course")
    notebooks = [path for path in sorted(folder.glob("*.ipynb")) if lesson is None or int(path.name[:2]) == lesson]
    if not notebooks:
        raise ConfigError(f"{folder}: there is no lesson{'' if lesson is None else f' {lesson:02}'} here.")
    make_folder(out)
    with tempfile.TemporaryDirectory() as work:
        for notebook in notebooks:
            yield execute(notebook, out / notebook.name, Path(work), is_strict=version == "solutions")


def execute(notebook: Path, target: Path, work: Path, *, is_strict: bool = False) -> Executed:
    """Run a notebook in the folder `work`, with the workbook there. Its outputs up to an error are saved, too."""
    import nbformat
    from nbclient import NotebookClient

    content: Any = nbformat.read(notebook, as_version=4)
    count = sum(cell.cell_type == "code" for cell in content.cells)
    moments = [time.perf_counter()]
    with tqdm(total=count, desc=notebook.stem, unit="cell") as bar:

        def after_cell(**_: Any) -> None:
            moments.append(time.perf_counter())
            bar.update()

        place = {"metadata": {"path": str(work)}}
        client = NotebookClient(content, timeout=CELL_SECONDS, resources=place, on_cell_executed=after_cell)
        problem = _problem(client, _environment(work, is_strict=is_strict))
    with new_file(target) as partial:
        nbformat.write(content, partial)
    seconds = [end - start for start, end in pairwise(moments)]
    return Executed(notebook.name, len(seconds), sum(seconds), max(seconds, default=0), problem, target)


def _problem(client: Any, environment: dict[str, str]) -> str | None:
    """Execute, in a kernel with this environment; return what went wrong, in one line."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"[:300]
    except CellTimeoutError:
        return f"a cell took longer than {CELL_SECONDS} s"
    except DeadKernelError:
        return "the kernel died: out of memory?"
    return None


def _environment(work: Path, *, is_strict: bool) -> dict[str, str]:
    """Return the environment of a kernel: this process's, with a workbook in `work`, strict or not."""
    environment = {name: value for name, value in os.environ.items() if name != "COURSEKIT_STRICT"}
    environment["COURSEKIT_WORKBOOK"] = str(work / "my_detector")
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "3000")  # threads that sleep at once make training 1.4 times as long
    return environment | ({"COURSEKIT_STRICT": "1"} if is_strict else {})
