"""File names in records: which of them stay below the image folder, and the files that they mean."""

import os
import posixpath
import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

Key = Callable[[str], str]
# A name in which nothing needs a closer look: words, single dots, no separators.
_PLAIN = re.compile(r"[\w()-][\w ()-]*(\.[\w ()-]+)*")
_PLAIN_ASCII = f"{string.ascii_letters}{string.digits}_-.\n".encode()
_LINE_BREAKS = ("Cc", "Zl", "Zp")  # Unicode's categories of control characters and of line breaks


def name_fault(name: str) -> str:
    """Return why a record's file name can't be used, as in "its file name …"; an empty text if it can.

    A name may lead into subfolders. Whatever leads out of the image folder on any operating system is refused.
    """
    if _PLAIN.fullmatch(name):
        return ""
    if not name.strip():
        return "is empty"
    if any(unicodedata.category(character) in _LINE_BREAKS for character in name):
        return "has a line break or another control character"
    if any(unicodedata.category(character) == "Cs" for character in name):
        return "isn't valid Unicode"
    return _path_fault(name)


def are_plain(names: Sequence[str]) -> bool:
    """Return whether all names are like COCO's, and so need no closer look. It takes a few milliseconds for 100,000."""
    lines = "\n".join(["", *names, ""])
    if not lines.isascii() or lines.encode().translate(None, delete=_PLAIN_ASCII):
        return False
    is_one_line_each = lines.count("\n") == len(names) + 1
    return is_one_line_each and not any(pair in lines for pair in ("\n\n", "\n.", ".\n", ".."))


def _path_fault(name: str) -> str:
    path = name.replace("\\", "/")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) or path.lower().startswith(("data:", "file:")):
        return "is an address: name a file in the image folder"
    if path.startswith("//"):
        return "is a network path: give it relative to the image folder"
    if path.startswith("/"):
        return "is an absolute path: give it relative to the image folder"
    if re.match(r"[A-Za-z]:", path):
        return "begins with a drive letter: give it relative to the image folder"
    if posixpath.normpath(path).split("/")[0] == "..":
        return "leads out of the image folder"
    names = [part for part in path.split("/") if part not in ("", ".", "..")]
    if not names or path.endswith(("/", "/.", "/..")) or any(not part.strip(". ") for part in names):
        return "names a folder, not a file"
    return ""


def clean_name(name: str) -> str:
    r"""Return a usable name with / between its parts, and without parts that lead nowhere.

    >>> clean_name(".\\camera1\\a.png")
    'camera1/a.png'
    """
    return name if _PLAIN.fullmatch(name) else posixpath.normpath(name.replace("\\", "/"))


@dataclass(frozen=True)
class Located:
    """The files of a data set.

    Attributes:
        names: the file of each record, relative to the image folder. An absent one keeps its record's name.
        absent: the names that no file has → which similar file there is; often empty.
    """

    names: list[str]
    absent: dict[str, str] = field(default_factory=dict)


def locate(folder: Path, names: Sequence[str]) -> Located:
    """Find the files of records, also where a name is written in another way.

    That is in upper or lower case, with composed or decomposed accents (macOS decomposes them), with unusual spaces, or
    with %20. Only a name that fits a single file finds it.
    """
    present = _files_in(folder, {posixpath.dirname(name) for name in names})
    unmatched = {name for name in names if name not in present}
    if not unmatched:
        return Located(list(names))
    files = files_below(folder)
    similar = _grouped(files, _key)
    alone = {name: similar[_key(name)][0] for name in unmatched if len(similar[_key(name)]) == 1}
    found = {name: file for name, file in alone.items() if is_file(folder / file)}  # a dead link isn't
    hints = [(_grouped(files, key), key) for key in _SIMILAR]
    absent = {name: _hint(name, hints) for name in sorted(unmatched - found.keys())}
    return Located([found.get(name, name) for name in names], absent)


def find_root(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield the folders below `folder` that have files of these names, those with the most first."""
    parts = Counter(name.count("/") + 1 for name in names)
    wanted, found = set(map(_key, names)), Counter[str]()
    for file in files_below(folder):
        pieces = file.split("/")
        for count in parts:
            if _key("/".join(pieces[-count:])) in wanted:
                found["/".join(pieces[:-count])] += 1
    return (folder / root for root, _ in found.most_common())


def is_file(path: Path) -> bool:
    """Return whether there is such a file. A name that the system doesn't allow counts as no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _key(name: str) -> str:
    """Return what all spellings of a name have in common. It only serves to compare: unquoting can make any path."""
    return unicodedata.normalize("NFKC", unquote(name)).replace("\\", "/").casefold().strip()


def _stem(name: str) -> str:
    return posixpath.splitext(_key(name))[0]


def _base(name: str) -> str:
    return posixpath.basename(_key(name))


_SIMILAR: list[Key] = [_key, _stem, _base]  # the most similar first


def _hint(name: str, hints: list[tuple[dict[str, list[str]], Key]]) -> str:
    """Return which file may be meant by a name that no file has; an empty text if none resembles it."""
    for groups, key in hints:
        if files := [file for file in groups[key(name)] if file != name]:
            return f"{' and '.join(map(repr, files[:2]))} {'is' if len(files) == 1 else 'are'} there"
    return ""


def _grouped(files: Iterable[str], key: Key) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return groups


def _files_in(folder: Path, subfolders: Iterable[str]) -> set[str]:
    """Return the files in these subfolders of a folder, by names relative to it."""
    files = set()
    for subfolder in subfolders:
        prefix = f"{subfolder}/" if subfolder else ""
        if (folder / subfolder).is_dir():
            with os.scandir(folder / subfolder) as entries:
                files |= {prefix + entry.name for entry in entries if entry.is_file()}
    return files


def files_below(folder: Path) -> list[str]:
    """Return all files below a folder, by names relative to it."""
    files = []
    for parent, _, names in os.walk(folder):
        prefix = "" if Path(parent) == folder else f"{Path(parent).relative_to(folder).as_posix()}/"
        files += [prefix + name for name in names]
    return sorted(files)
