"""The marks given before, so that `coursekit grade` runs only what has changed."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
import torch

import coursekit
from coursekit.core.files import new_file
from coursekit.grading.marks import Mark

FOLDER = "marks"


class Earlier(msgspec.Struct):
    """The marks given before, by a digest of the answer, its cases and the library."""

    marks: dict[str, Mark] = {}


def load(out: Path, name: str) -> Earlier:
    """Load the marks of a submission; none if there are none, or their file is damaged.

    Args:
        out: folder for the results.
        name: name of the submission.
    """
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(_file(out, name).read_bytes(), type=Earlier)
    return Earlier()


def store(earlier: Earlier, out: Path, name: str) -> str:
    """Store the marks of a submission. Return why they can't be stored; empty if they are."""
    try:
        with new_file(_file(out, name)) as file:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(earlier)))
        return ""
    except (OSError, msgspec.MsgspecError, UnicodeEncodeError) as error:
        return f"its marks could not be stored for the next time: {error}"[:300]


def digest(exercise: str, code: str, cases: str) -> str:
    """Return a digest of everything that a mark depends on.

    Args:
        exercise: name of the exercise.
        code: code of the answer.
        cases: digest of the hidden cases that it was tried on; empty if it was on the course's own.
    """
    return hashlib.sha256("\0".join((exercise, code, cases, _library())).encode(errors="surrogatepass")).hexdigest()


@cache
def _library() -> str:
    """Return a digest of this library, torch and Python. If one of them changes, everything is graded again."""
    digest = hashlib.sha256(f"{torch.__version__} {platform.python_version()}".encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    """Yield the files that an answer or its comparison may use; not those that write pages, nor the command line."""
    for room in ("core", "data", "detector", "training", "evaluation", "memory", "from_scratch", "lessons", "grading"):
        files = sorted((Path(coursekit.__file__).parent / room).rglob("*.py"))
        yield from (path for path in files if path.name != "html.py")


def _file(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.json"
