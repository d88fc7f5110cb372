"""Copy the lessons to the folder you work in. A newer version goes beside a lesson that you have changed."""

import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import msgspec

from coursekit.core.files import make_folder, new_file, shipped
from coursekit.data.subsets.manifest import hash_of
from coursekit.lessons.notebooks.agents_md import FILE, agents_text

COPIED = (".ipynb", ".md", ".py")  # notebooks, the glossary, and scripts that run without the course
LINK = re.compile(r"\[([^\[\]]*)\]\(\.\./([^()\s]*)\)")  # words and path of a link out of the folder
ASIDE = re.compile(rf" ?\({LINK.pattern}\.?\)")  # a parenthesis that holds nothing else
DISTRIBUTION = "build-a-detector"
NOTE = ".course.json"  # lesson → digest of the version that was copied


@dataclass
class Copied:
    """What happened to each lesson.

    Attributes:
        new: copied for the first time.
        replaced: replaced by a newer version, because you had not changed it.
        beside: the newer version, copied beside the one you have changed.
        kept: left as it was.
    """

    new: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def copy_lessons(folder: Path) -> Copied:
    """Copy the student notebooks into `folder`, and write an AGENTS.md.

    A lesson that was changed there is never overwritten. If the course has a newer version of it, that is copied
    beside it, as `NN_name.new.ipynb`.

    Raises:
        ConfigError: the folder can't be written.
    """
    make_folder(folder)
    done, before = Copied(), _read(folder)
    for name, content in sorted(_files().items()):
        target, version = folder / name, hash_of(content)
        known = before.get(name)
        if not target.exists():
            done.new.append(_write(content, target))
        elif known == version or hash_of(target.read_bytes()) == version:
            done.kept.append(target)
        elif hash_of(target.read_bytes()) == known:
            done.replaced.append(_write(content, target))
        else:
            done.beside.append(_write(content, target.with_suffix(f".new{target.suffix}")))
        before[name] = version
    with new_file(folder / NOTE) as partial:
        partial.write_bytes(msgspec.json.encode(before))
    return done


def _files() -> dict[str, bytes]:
    """Return what a folder of lessons holds, by file name."""
    sources = [path for path in shipped("course").iterdir() if path.suffix in COPIED]
    return {path.name: _content(path) for path in sources} | {FILE: agents_text().encode()}


def _content(path: Path) -> bytes:
    """Return what a copy of a file holds: links that lead out of the folder lead to the web, or become plain words."""
    content = path.read_bytes()
    if path.suffix == ".py":
        return content
    return relinked(content.decode("utf-8"), repository()).encode()


def relinked(text: str, address: str) -> str:
    """Replace links to files of the repository by links to its web address.

    Without an address, a link becomes its words. A parenthesis that holds only a link goes with it: "(the code)" would
    lead nowhere.
    """
    if address:
        return LINK.sub(rf"[\1]({address}/blob/main/\2)", text)
    return LINK.sub(r"\1", ASIDE.sub("", text))


def repository() -> str:
    """Return the web address of the repository, as the installed package names it; empty if it names none."""
    try:
        urls = metadata(DISTRIBUTION).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = [tuple(part.strip() for part in url.split(",", 1)) for url in urls]
    known = {pair[0].lower(): pair[1].rstrip("/") for pair in pairs if len(pair) == 2}
    return known.get("repository") or known.get("source") or ""


def _write(content: bytes, target: Path) -> Path:
    with new_file(target) as partial:
        partial.write_bytes(content)
    return target


def _read(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}  # then everything there counts as changed
