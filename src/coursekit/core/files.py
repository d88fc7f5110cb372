"""Files and folders that appear complete or not at all: written next to their place, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from coursekit.core.errors import ConfigError


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
    """Yield a temporary path that becomes `target` if the block succeeds, and is removed if it fails.

    It keeps the suffix of `target`, from which libraries infer the format.
    """
    partial = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file in UTF-8. Lone surrogates, which a notebook can contain, become question marks."""
    with new_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents, and return it.

    Raises:
        ConfigError: it can't be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # os.access always says yes to root, so we try
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{folder}: can't be written ({reason}). Choose another folder, or fix its permissions."
        ) from None
    return folder
