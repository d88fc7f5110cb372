"""Which workbook may run for a run's detector: one that the user has named, and that the run was trained with.

A run's folder may come from anybody. Its `config.json` says which parts of a workbook its detector has, and a digest of
the files that they came from; it can't say where to find code to run.
"""

import ast
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import platformdirs

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, write_text
from coursekit.lessons.workbook.workbook import PACKAGE, Workbook, digest
from coursekit.runs.run_config import RunConfig

TRAINED_WITH = "trained-with"


class NotNamedError(ConfigError):
    """A run has parts of a workbook, and the user has named none.

    Attributes:
        reason: the first half of the message, for callers that know better how to name one.
    """

    def __init__(self, config: RunConfig) -> None:
        self.reason = (
            f"this run's detector has parts from a workbook ({', '.join(config.parts)[:200]}). Code of a workbook runs "
            "only if you name that workbook"
        )
        super().__init__(f"{self.reason}: pass workbook=Workbook(Path(…)), in a notebook workbook=my_workbook.")


def digests(workbook: Workbook, parts: Collection[str]) -> dict[str, str]:
    """Return a digest of the file of each part, and of the workbook's files that these import. Nothing is executed.

    A file that isn't there has an empty digest.
    """
    found: dict[str, str] = {}
    names = list(parts)
    while names:
        name = names.pop()
        if name not in found:
            code = _code(workbook, name)
            found[name] = digest(code) if code is not None else ""
            names += [other for other in _imported(code or "") if workbook.file_of(other).is_file()]
    return dict(sorted(found.items()))


def _code(workbook: Workbook, name: str) -> str | None:
    try:
        return workbook.code_of(name)
    except (OSError, UnicodeDecodeError):
        return None


def changed_files(workbook: Workbook, config: RunConfig, parts: Collection[str]) -> list[str]:
    """Return the names of the files, of these parts, that are not those that the run was trained with.

    Raises:
        ConfigError: there is no workbook.
    """
    if not workbook.exists:
        raise ConfigError(f"{workbook.folder}: no workbook here. It is the folder {PACKAGE} beside your notebooks.")
    now = digests(workbook, parts)
    return [name for name, value in now.items() if not value or config.digests.get(name) != value]


def remember(workbook: Workbook, trained: dict[str, str]) -> None:
    """Remember that the user has trained with this folder and these digests, in the user's own state folder."""
    try:
        note = _note(workbook, trained)
        make_folder(note.parent)
        write_text(note, f"{workbook.folder}\n")
    except (ConfigError, OSError):
        pass  # then the workbook has to be named again


def is_remembered(workbook: Workbook, config: RunConfig) -> bool:
    """Return whether the user has trained a run with this folder and the digests of this run."""
    try:
        return _note(workbook, config.digests).is_file()
    except OSError:
        return False


def fits(workbook: Workbook, config: RunConfig) -> bool:
    """Return whether a run was trained with the parts of this workbook, as they are now."""
    return workbook.exists and not changed_files(workbook, config, config.parts)


def _note(workbook: Workbook, trained: dict[str, str]) -> Path:
    key = json.dumps([str(workbook.folder.resolve()), trained], sort_keys=True)
    return platformdirs.user_state_path("coursekit") / TRAINED_WITH / hashlib.sha256(key.encode()).hexdigest()


def _imported(code: str) -> list[str]:
    """Return the names of a workbook that an answer imports or uses through `my_detector`."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            names.append(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            names += [alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{PACKAGE}.")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
            names.append(node.attr)
    return names
