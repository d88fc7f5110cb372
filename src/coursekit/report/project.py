"""What a run was for: the question of lesson 10, its answer and the verdict, in a file beside the run."""

from pathlib import Path

import msgspec

from coursekit.core.errors import DataError
from coursekit.core.files import check_inside, write_bytes

FILE = "project.json"
MOST_BYTES = 2**16
LABELS = {  # in the order of the report
    "question": "Question",
    "guess": "My guess",
    "answer": "Answer",
    "change": "What I changed, and why",
    "expected": "What I expected of it",
    "verdict": "Verdict",
}
IN_SHORT = ("question", "answer", "verdict")


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts about a run; any of them may be empty.

    Attributes:
        question: what the run was to answer.
        guess: the answer as it was guessed before.
        answer: what was measured.
        change: the one improvement that was tried, and why.
        expected: what was expected of it.
        verdict: whether it helped.
    """

    question: str = ""
    guess: str = ""
    answer: str = ""
    change: str = ""
    expected: str = ""
    verdict: str = ""


def write_project(folder: Path, project: Project) -> None:
    """Write what a run was for into its folder. The next report shows it."""
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(project)) + b"\n")


def read_project(folder: Path) -> Project:
    """Read what a run was for; empty texts if nothing was written.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Project()
    try:
        content = check_inside(path, folder).read_bytes()
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has {len(content):,} bytes; at most {MOST_BYTES:,} are expected")
        return msgspec.json.decode(content, type=Project)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).removesuffix(".")
        raise DataError(f"{path}: damaged ({reason}). Fix it in an editor, or remove it.") from None


def texts(project: Project) -> dict[str, str]:
    """Return the texts that aren't empty, by their labels in the report."""
    return {label: text for name, label in LABELS.items() if (text := getattr(project, name))}
