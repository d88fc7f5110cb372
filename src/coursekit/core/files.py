"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from coursekit.core.errors import ConfigError


def cache_folder() -> Path:
    """Where built data lies: `COURSEKIT_CACHE`, else the user's cache folder."""
    named = os.environ.get("COURSEKIT_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("coursekit")


def shipped(name: str) -> Path:
    """A folder that comes with the project, such as `course`: in the wheel, else at the top of the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_shipped" / name
    return installed if installed.exists() else package.parents[1] / name


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, that becomes `target` when the block ends well and vanishes when it doesn't.

    Where another process was first, its folder stays: both were made from the same recipe.
    """
    make_folder(target.parent)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    partial.chmod(0o755)
    try:
        yield partial
        if not target.exists():
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write to, that becomes `target` when the block ends well and vanishes when it doesn't.

    It keeps the target's ending, from which libraries guess the format.
    """
    partial = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all. Half characters, which a notebook can hold, become question marks."""
    with new_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def make_folder(folder: Path) -> Path:
    """Make `folder` and those above it.

    Raises:
        ConfigError: it can't be made or can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # os.access says yes to root, so we try
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{folder}: can't be written ({reason}). Choose another folder, or mend its rights."
        ) from None
    return folder
