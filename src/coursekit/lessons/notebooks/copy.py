"""Lessons to a folder of one's own, and their newer versions beside what was worked on."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from coursekit.core.files import make_folder, new_file, shipped
from coursekit.data.subsets.manifest import hash_of

NOTE = ".course.json"  # name of a lesson → hash of the version that was copied


@dataclass
class Copied:
    """What became of each lesson: new here, replaced (it was as we had copied it), newer beside, or as it was."""

    new: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def copy_lessons(folder: Path) -> Copied:
    """Copy the student notebooks into `folder`. What was worked on there is never written over.

    Of a lesson that the course has changed since, the newer version comes beside it, as `NN_name.new.ipynb`.

    Raises:
        ConfigError: the folder can't be written.
    """
    make_folder(folder)
    done, before = Copied(), _read(folder)
    for source in sorted([*shipped("course").glob("*.ipynb"), *shipped("course").glob("*.md")]):
        target, mark = folder / source.name, hash_of(source.read_bytes())
        known = before.get(source.name)
        if not target.exists():
            done.new.append(_copy(source, target))
        elif known == mark or hash_of(target.read_bytes()) == mark:
            done.kept.append(target)
        elif hash_of(target.read_bytes()) == known:
            done.replaced.append(_copy(source, target))
        else:
            done.beside.append(_copy(source, target.with_suffix(f".new{target.suffix}")))
        before[source.name] = mark
    with new_file(folder / NOTE) as partial:
        partial.write_bytes(msgspec.json.encode(before))
    return done


def _copy(source: Path, target: Path) -> Path:
    with new_file(target) as partial:
        shutil.copyfile(source, partial)
    return target


def _read(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}  # then everything there counts as worked on
