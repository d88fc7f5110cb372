"""List the submissions in the folder of a class, each under a name that can be a file's."""

import os
import unicodedata
from pathlib import Path

from coursekit.core.errors import ConfigError
from coursekit.core.files import shipped
from coursekit.grading.readable import readable
from coursekit.lessons.workbook.workbook import PACKAGE

NAME_BYTES = 120  # file systems allow 255, some 143; the results add a prefix and a suffix
NAMED = 8  # entries that are named as not graded
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")}


def submissions(folder: Path) -> dict[str, Path]:
    """Return each intern's submission by the intern's name. If two have the same name, the second gets a number.

    Raises:
        ConfigError: there is no submission.
    """
    places, _ = _sorted_out(folder)
    if not places:
        raise ConfigError(f"{folder}: nothing to grade. A submission is a .zip, a folder or an .ipynb.")
    named: dict[str, Path] = {}
    taken: set[str] = set()
    for path in places:
        stem = name_for_files(_own_name(path))
        name, number = stem, 2
        while _folded(name) in taken:
            name, number = f"{stem}-{number}", number + 1
        named[name] = path
        taken.add(_folded(name))
    return named


def not_graded(folder: Path) -> str:
    """Return a sentence that names what else is in the folder of a class; empty if there is nothing else.

    Raises:
        ConfigError: the folder can't be read.
    """
    _, others = _sorted_out(folder)
    if not others:
        return ""
    shown = ", ".join(readable(path.name, 60) for path in others[:NAMED])
    more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
    return (
        f"{folder}: not graded: {shown}{more}. A submission is a .zip, a folder or an .ipynb, and its name doesn't "
        "begin with a dot."
    )


def name_for_files(name: str) -> str:
    """Return a name that can be a file's on every system: on Windows, too, and however long it was."""
    name = unicodedata.normalize("NFC", "".join(map(_harmless, name)))
    name = name.encode()[:NAME_BYTES].decode(errors="ignore").strip(" .")
    if name.split(".")[0].strip().casefold() in RESERVED:
        name = f"_{name}"
    return name or "unnamed"


def _own_name(path: Path) -> str:
    name = path.name if path.name.strip(".") else path.resolve().name  # "." and ".." are names, too
    return Path(name).stem if _is_file(path) else name


def _harmless(character: str) -> str:
    return character if character.isprintable() and character not in '<>:"/\\|?*' else "_"


def _folded(name: str) -> str:
    """Return the same for names that some systems take for one file, such as Anna and anna."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the submissions in a folder, and what else is in it."""
    if not os.path.lexists(folder):
        raise ConfigError(f"{folder}: no such file or folder. Check the path.")
    if not folder.is_dir():
        return [folder], []
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: can't be read ({error.strerror}). Fix its permissions.") from None
    if _is_one(inside):
        return [folder], []
    places = [path for path in inside if _is_submission(path)]
    return places, sorted(set(inside) - set(places))


def _is_one(inside: list[Path]) -> bool:
    """Return whether a folder is the work of one intern: it has no more submissions in it than parts of the work.

    In a class, an intern may have named a submission like a part of the work.
    """
    parts = {PACKAGE, *(path.name for path in shipped("course").glob("*.ipynb"))}
    own = [path for path in inside if path.name in parts]
    others = [path for path in set(inside) - set(own) if _is_submission(path) and (_is_file(path) or _has(path, parts))]
    return len(own) > 0 and len(own) >= len(others)


def _is_submission(path: Path) -> bool:
    return not path.name.startswith(".") and (path.suffix.lower() in (".zip", ".ipynb") or not _is_file(path))


# Methods of Path raise an error for a link that leads where we may not look.
def _is_file(path: Path) -> bool:
    return not os.path.isdir(path)  # noqa: PTH112


def _has(folder: Path, parts: set[str]) -> bool:
    return any(os.path.exists(folder / part) for part in parts)  # noqa: PTH110
