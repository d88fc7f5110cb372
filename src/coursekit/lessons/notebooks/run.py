"""Execute the lessons, one at a time and in order: `coursekit lessons run solutions`."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """How a notebook went.

    Attributes:
        name: of the notebook.
        cells: code cells that were run.
        seconds: of all.
        slowest: seconds of the cell that took longest.
        problem: the error that stopped it, in a line; None where there was none.
        file: the executed notebook.
    """

    name: str
    cells: int
    seconds: float
    slowest: float
    problem: str | None
    file: Path


def run_lessons(version: Literal["solutions", "course"], out: Path, lesson: int | None = None) -> Iterator[Executed]:
    """Execute notebooks with one workbook in a temporary folder, and leave them with their outputs in `out`.

    Args:
        version: "solutions" runs strictly: anything but correct stops it.
        out: for the executed notebooks.
        lesson: only this one.

    Raises:
        ConfigError: there is no such lesson, or `out` can't be written.
    """
    folder = checkout() / "solutions" if version == "solutions" else shipped("course")
    notebooks = [one for one in sorted(folder.glob("*.ipynb")) if lesson is None or int(one.name[:2]) == lesson]
    if not notebooks:
        raise ConfigError(f"{folder}: no lesson {'at all' if lesson is None else f'{lesson:02}'} here.")
    make_folder(out)
    with tempfile.TemporaryDirectory() as work, _environment(Path(work), strict=version == "solutions"):
        for notebook in notebooks:
            yield execute(notebook, out / notebook.name, Path(work))


def execute(notebook: Path, target: Path, work: Path) -> Executed:
    """Run a notebook in the folder `work`; what it has shown until an error is kept, too."""
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
        problem = _problem(client)
    with new_file(target) as partial:
        nbformat.write(content, partial)
    seconds = [end - start for start, end in pairwise(moments)]
    return Executed(notebook.name, len(seconds), sum(seconds), max(seconds, default=0), problem, target)


def _problem(client: Any) -> str | None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        client.execute()
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"[:300]
    except CellTimeoutError:
        return f"a cell took longer than {CELL_SECONDS} s"
    except DeadKernelError:
        return "the kernel died: out of memory?"
    return None


@contextmanager
def _environment(work: Path, *, strict: bool) -> Iterator[None]:
    before = dict(os.environ)
    os.environ["COURSEKIT_WORKBOOK"] = str(work / "my_detector")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # threads that sleep at once make training 1.4 times as long
    if strict:
        os.environ["COURSEKIT_STRICT"] = "1"
    else:
        os.environ.pop("COURSEKIT_STRICT", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
