"""Lessons to a folder of one's own."""

import shutil
from pathlib import Path

from coursekit.files import make_folder, new_file, shipped


def copy_lessons(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy the student notebooks into `folder`, and leave alone what is there.

    Returns:
        The files that were copied, and those that were there.

    Raises:
        SettingError: the folder can't be written.
    """
    make_folder(folder)
    copied, kept = [], []
    for source in sorted(shipped("course").glob("*.ipynb")):
        target = folder / source.name
        if target.exists():
            kept.append(target)
            continue
        with new_file(target) as partial:
            shutil.copyfile(source, partial)
        copied.append(target)
    return copied, kept
