"""Copy the lessons to the folder you work in. A newer version goes beside a lesson that you have changed."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from coursekit.core.files import make_folder, new_file, shipped
from coursekit.data.subsets.manifest import hash_of

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
    """Copy the student notebooks into `folder`. A lesson that was changed there is never overwritten.

    If the course has a newer version of such a lesson, it is copied beside it, as `NN_name.new.ipynb`.

    Raises:
        ConfigError: the folder can't be written.
    """
    make_folder(folder)
    done, before = Copied(), _read(folder)
    for source in sorted([*shipped("course").glob("*.ipynb"), *shipped("course").glob("*.md")]):
        target, version = folder / source.name, hash_of(source.read_bytes())
        known = before.get(source.name)
        if not target.exists():
            done.new.append(_copy(source, target))
        elif known == version or hash_of(target.read_bytes()) == version:
            done.kept.append(target)
        elif hash_of(target.read_bytes()) == known:
            done.replaced.append(_copy(source, target))
        else:
            done.beside.append(_copy(source, target.with_suffix(f".new{target.suffix}")))
        before[source.name] = version
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
        return {}  # then everything there counts as changed
