"""`coursekit submit`: pack an intern's work into one file, and say what is in it and what is missing."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file, shipped
from coursekit.grading.class_folder import name_for_files
from coursekit.grading.readable import readable
from coursekit.grading.submission import FILE_BYTES, Submission, read
from coursekit.lessons.course import LESSONS, exercises_of
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.workbook import PACKAGE
from coursekit.report import answers
from coursekit.report.sections import counted

FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # so that the same work gives the same file


@dataclass(frozen=True)
class Packed:
    """The file, what is in it, and what is missing, one phrase each."""

    file: Path
    contents: list[str]
    missing: list[str]


def pack(folder: Path, file: Path, *, journal: bool = False) -> Packed:
    """Pack the work in a folder.

    Args:
        folder: with the notebooks, and `my_detector` beside them.
        file: the zip to write. Its stem is the intern's name.
        journal: include the journal.

    Raises:
        ConfigError: there is no such folder or nothing in it, or the file can't be written.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Pass the folder with your notebooks.")
    paths = dict(_chosen(folder, journal))
    if not paths:
        raise ConfigError(f"{folder}: neither notebooks nor {PACKAGE} are here. Pass the folder with your notebooks.")
    make_folder(file.parent)
    left_out = []
    with new_file(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, path in sorted(paths.items()):
            try:
                _add(archive, inner, path)
            except (OSError, ValueError) as error:
                del paths[inner]
                left_out.append(f"{readable(path.name)}: {getattr(error, 'strerror', None) or error}")
    submission = read(file, file.stem)
    return Packed(file, _contents(paths, submission), [*_missing(folder, submission, journal), *left_out])


def _add(archive: zipfile.ZipFile, inner: str, path: Path) -> None:
    """Add a file to the zip.

    Raises:
        OSError, ValueError: it is too large, or can't be read.
    """
    if path.stat().st_size > FILE_BYTES:
        raise ValueError(f"over {FILE_BYTES >> 20} MB. Clear its outputs and pack again")
    try:
        inner.encode()
    except UnicodeEncodeError:
        raise ValueError("its name isn't valid text. Rename it and pack again") from None
    member = zipfile.ZipInfo(inner, FIXED_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, path.read_bytes())


def _chosen(folder: Path, journal: bool) -> Iterator[tuple[str, Path]]:
    """Yield each file with its path in the zip."""
    names = [progress.FILE, answers.FILE, *([journals.FILE] if journal else [])]
    inside = [*_ending(folder, ".ipynb"), *_ending(folder / PACKAGE, ".py"), *(folder / name for name in names)]
    for path in inside:
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path
    if report := _report(folder):
        yield "report/report.html", report


def _ending(folder: Path, suffix: str) -> list[Path]:
    """Return the files in a folder that end so, in capitals, too; none if there is no such folder."""
    return [path for path in folder.glob("*") if path.suffix.lower() == suffix]


def _report(folder: Path) -> Path | None:
    """Return the newest report below the folder; None if there is none."""
    reports = [*folder.glob("report/report.html"), *folder.glob("runs/*/report/report.html")]
    return max(reports, key=lambda path: path.stat().st_mtime, default=None)


def _contents(paths: dict[str, Path], submission: Submission) -> list[str]:
    notebooks = [inner for inner in paths if inner.lower().endswith(".ipynb")]
    others = [inner for inner in sorted(paths) if not inner.lower().endswith((".ipynb", ".py"))]
    counts = ((len(submission.answers), "answer"), (len(notebooks), "notebook"))
    return [*(counted(count, noun) for count, noun in counts if count), *others]


def _missing(folder: Path, submission: Submission, journal: bool) -> list[str]:
    lacking = [name for name in exercises_of() if name not in submission.answers]
    missing = [f"exercises without an answer ({len(lacking)}): {', '.join(lacking)}"] if lacking else []
    required = [path for path in shipped("course").glob("*.ipynb") if not LESSONS[int(path.name[:2])].optional]
    lessons = sorted(path.name for path in required if not (folder / path.name).is_file())
    missing += [f"notebooks: {', '.join(lessons)}"] if lessons else []
    for name, path in ((progress.FILE, folder / progress.FILE), ("the report", _report(folder))):
        missing += [] if path and path.is_file() else [name]
    if (folder / journals.FILE).is_file() and not journal:
        missing.append(f"{journals.FILE}: it stays with you. Include it with --journal")
    return missing


def file_name(name: str) -> str:
    """Return the file name for a person's name.

    Raises:
        ConfigError: the name can't be a file's on every system.
    """
    if not re.fullmatch(r"\w[\w .'-]{0,60}", name) or name_for_files(name) != name:
        raise ConfigError(
            f"--name {name!r}: use letters, digits, spaces, dots and hyphens only, as in --name anna-berg."
        )
    return f"{name}.zip"
