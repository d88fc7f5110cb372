"""Download images in parallel, with a journal: a build that was interrupted continues from there."""

import errno
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

import httpx
import msgspec
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.core.files import make_folder, new_file
from coursekit.data.subsets.client import FetchError
from coursekit.data.subsets.fetch import fetch
from coursekit.data.subsets.manifest import Entry, Missing, hash_of, read_manifest
from coursekit.data.subsets.plan import Task
from coursekit.data.subsets.stored import stored_bytes

JOURNAL = "journal.jsonl"
DECODE_TRIES = 3


def download(
    client: httpx.Client, tasks: list[Task], folder: Path, long_side: int, jobs: int
) -> tuple[list[Entry], list[Missing]]:
    """Fetch the images that the journal doesn't list yet. Each finished image is added to the journal at once.

    Returns:
        The images that are there, including those of earlier builds, and those that could not be fetched; both sorted.

    Raises:
        DataError: the disk is full or can't be written to.
    """
    _prepare_folders(tasks, folder)
    entries, missing = _read_journal(folder, {task.file for task in tasks}), []
    open_tasks = [task for task in tasks if task.file not in entries]
    with (folder / JOURNAL).open("ab") as journal, tqdm(total=len(tasks), initial=len(entries), unit="img") as bar:
        journal.write(b"\n")  # in case the last line was cut off
        for result in _in_parallel(client, open_tasks, folder, long_side, jobs):
            if isinstance(result, Entry):
                entries[result.file] = result
                journal.write(msgspec.json.encode(result) + b"\n")
                journal.flush()
            else:
                missing.append(result)
            bar.update()
            bar.set_postfix(missing=len(missing), refresh=False)
    return sorted(entries.values()), sorted(missing)


def _prepare_folders(tasks: list[Task], folder: Path) -> None:
    for pictures in {(folder / task.file).parent for task in tasks}:
        make_folder(pictures)
        for partial in pictures.glob(".*"):
            partial.unlink()  # left by an earlier build that was killed


def _in_parallel(
    client: httpx.Client, tasks: list[Task], folder: Path, long_side: int, jobs: int
) -> Iterator[Entry | Missing]:
    """Yield results as they finish. At most 2 · `jobs` tasks are queued, so Ctrl-C doesn't wait for long."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(jobs) as pool:
        running: set[Future[Entry | Missing]] = set()
        try:
            while True:
                more = islice(waiting, 2 * jobs - len(running))
                running |= {pool.submit(download_image, client, task, folder, long_side) for task in more}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


def download_image(client: httpx.Client, task: Task, folder: Path, long_side: int) -> Entry | Missing:
    """Fetch one image, decode it completely, and store it with the given long side.

    Raises:
        DataError: the disk is full or can't be written to.
    """
    reason = ""
    for _ in range(DECODE_TRIES):  # a file that arrived damaged may arrive intact the next time
        try:
            data = stored_bytes(_read(client, task.url), task.size, long_side)
        except FetchError as error:
            return Missing(task.file, task.url, str(error))
        except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
            reason = f"not the image that its record describes ({str(error) or type(error).__name__})"
            continue
        _store(folder / task.file, data)
        return Entry(task.file, hash_of(data), len(data), task.url, task.license)
    return Missing(task.file, task.url, reason)


def _read(client: httpx.Client, url: str) -> bytes:
    if "://" in url:
        return fetch(client, url)
    try:
        return Path(url).expanduser().read_bytes()
    except OSError as error:
        raise FetchError(f"{url or 'the record has no address'}: {error.strerror}") from None


def _store(path: Path, data: bytes) -> None:
    try:
        with new_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise DataError(
            f"{path}: {reason}. Free some space, then run the same command again: it continues where it stopped."
        ) from None


def _read_journal(folder: Path, wanted: set[str]) -> dict[str, Entry]:
    """Return the images that an earlier, unfinished build has stored and that haven't changed since."""
    entries = {}
    lines = (folder / JOURNAL).read_bytes().splitlines() if (folder / JOURNAL).exists() else []
    manifest = read_manifest(folder)
    listed = [] if manifest is None else manifest.files
    for entry in [*listed, *filter(None, map(_parse_line, lines))]:
        path = folder / entry.file
        if entry.file in wanted and path.exists() and hash_of(path.read_bytes()) == entry.sha256:
            entries[entry.file] = entry
    return entries


def _parse_line(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        return None  # cut off when the build was killed
