"""Files and folders that appear complete or not at all: written next to their place, then renamed."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE

import platformdirs

from coursekit.core.disk_errors import NO_ROOM, DiskError, reason_of, room_for
from coursekit.core.errors import ConfigError, DataError

PARTIAL = ".partial"
# What a killed process leaves of `new_file`. In earlier versions, only trainings were long enough to be killed in it.
_LEFTOVER = re.compile(rf"\{PARTIAL}-[0-9a-f]{{8}}-.+|\.[0-9a-f]+-(last|best)\.pt")


def cache_folder() -> Path:
    """Return the folder for data sets: `COURSEKIT_CACHE` if it is set, else the user's cache folder."""
    chosen = os.environ.get("COURSEKIT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("coursekit")


def shipped(name: str) -> Path:
    """Return a folder that comes with the project, such as `course`: from the wheel, else from the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_shipped" / name
    return installed if installed.exists() else package.parents[1] / name


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` if the block succeeds, and is removed if it fails.

    If another process has made `target` in the meantime, that folder stays: both were made from the same recipe.

    Raises:
        DiskError: the disk is full.
    """
    make_folder(target.parent)
    with room_for(target):
        partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
        partial.mkdir()  # not with tempfile, whose folders only their owner may read
        try:
            yield partial
            if not target.exists():
                partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `target` if the block succeeds, and is removed if it fails.

    It keeps the suffix of `target`, from which libraries infer the format. Its name can't be guessed: a folder from
    somebody else could hold a link of that name, through which we would write elsewhere.

    The permissions are those of any new file here, also if a library replaces it by one that only its owner may read,
    as safetensors does.

    Raises:
        DiskError: the disk is full.
    """
    partial = target.with_name(f"{PARTIAL}-{secrets.token_hex(4)}-{target.name[-60:]}")  # a name has 255 bytes at most
    with room_for(target):
        try:
            partial.touch(exist_ok=False)
            mode = S_IMODE(partial.stat().st_mode)
            yield partial
            if S_IMODE(partial.stat().st_mode) != mode:
                partial.chmod(mode)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes have left of `new_file` in a folder. Call it only where no process is writing."""
    for path in folder.glob(".*-*"):
        if _LEFTOVER.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file. A picture is encoded in memory first, because Pillow hides why it could not write to a file.

    Raises:
        DiskError: the disk is full.
    """
    with new_file(target) as partial:
        partial.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write a text file in UTF-8. Lone surrogates, which a notebook can contain, become question marks.

    Raises:
        DiskError: the disk is full.
    """
    write_bytes(target, text.encode("utf-8", errors="replace"))


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents, and return it.

    Raises:
        ConfigError: it can't be created or written to.
        DiskError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # os.access always says yes to root, so we try
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskError(folder, error) from None
        raise ConfigError(
            f"{folder}: can't be written ({reason_of(error)}). Choose another folder, or fix its permissions."
        ) from None
    return folder


def check_inside(path: Path, folder: Path) -> Path:
    """Return `path`, which must be in `folder` also when links are followed.

    A folder from somebody else may hold links: what we write or quote must not be a file of the user elsewhere.

    Raises:
        DataError: a link leads out of the folder.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise DataError(f"{path}: a link that leads out of {folder}. Replace it by what it points to, or remove it.")
    return path
