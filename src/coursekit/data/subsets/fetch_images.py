"""Download images in parallel, with a journal: a build that was interrupted continues from there."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
from tqdm.auto import tqdm

from coursekit.core.disk_errors import disk_errors
from coursekit.core.files import make_folder, new_file
from coursekit.data.subsets.download_tasks import Task
from coursekit.data.subsets.fetch_file import SMALL_FILE, fetch
from coursekit.data.subsets.http_client import Client, FetchError, Limit
from coursekit.data.subsets.manifest import Entry, Missing, hash_of, read_manifest
from coursekit.data.subsets.stored_images import stored_bytes
from coursekit.data.subsets.threads import in_threads
from coursekit.data.subsets.unfinished_builds import JOURNAL
from coursekit.data.subsets.watched_sockets import StoppedError

DECODE_TRIES = 3


def fetch_images(
    client: Client, tasks: list[Task], work: Path, older: Path, long_side: int, jobs: int
) -> tuple[list[Entry], list[Missing]]:
    """Fetch the images that aren't there yet. Each finished image is added to the journal at once.

    Args:
        work: the folder of this build, with the images and the journal of an earlier one that was stopped.
        older: the folder of a built subset, if there is one. Its images needn't be fetched again.

    Returns:
        The images that are there, in either folder, and those that could not be fetched; both sorted.

    Raises:
        DataError: the disk is full or can't be written to.
    """
    _prepare_folders(tasks, work)
    wanted = {task.file for task in tasks}
    entries = _intact(older, _listed(older), wanted) | _intact(work, [*_listed(work), *_journaled(work)], wanted)
    missing: list[Missing] = []
    open_tasks = [task for task in tasks if task.file not in entries]

    def fetch_one(task: Task) -> Entry | Missing:
        return fetch_image(client, task, work, long_side)

    with (
        (work / JOURNAL).open("ab") as journal,
        tqdm(total=len(tasks), initial=len(entries), unit="img") as bar,
        closing(in_threads(fetch_one, open_tasks, jobs, client.stop)) as results,
    ):
        journal.write(b"\n")  # in case the last line was cut off
        for result in results:
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


def fetch_image(client: Client, task: Task, folder: Path, long_side: int) -> Entry | Missing:
    """Fetch one image, decode it completely, and store it with the given long side.

    Raises:
        DataError: the disk is full or can't be written to.
        StoppedError: the build was stopped.
    """
    reason = ""
    for _ in range(DECODE_TRIES):  # a file that arrived damaged may arrive intact the next time
        try:
            data = stored_bytes(_read(client, task), task.size, long_side)
        except FetchError as error:
            return Missing(task.file, task.url, str(error))
        except StoppedError:
            raise
        except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
            reason = f"not the image that its record describes ({str(error) or type(error).__name__})"
            continue
        if client.stop.is_set():  # another build may already be writing here
            raise StoppedError
        with disk_errors(folder / task.file, "it continues where it stopped"), new_file(folder / task.file) as partial:
            partial.write_bytes(data)
        return Entry(task.file, hash_of(data), len(data), task.url, task.license)
    return Missing(task.file, task.url, reason)


def _read(client: Client, task: Task) -> bytes:
    limit = _limit(task)
    if "://" in task.url:
        return fetch(client, task.url, limit=limit)
    path = Path(task.url).expanduser()
    try:
        if path.is_file() and path.stat().st_size > limit.bytes:
            raise FetchError(f"{task.url}: {path.stat().st_size:,} bytes, and at most {limit.bytes:,} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise FetchError(f"{task.url or 'the record has no address'}: {error.strerror}") from None


def _limit(task: Task) -> Limit:
    """Return how large the file may be: 8 bytes per pixel, enough for any format, and 1 MB for what else is in it."""
    height, width = task.size
    return Limit(min(SMALL_FILE.bytes, 8 * height * width + 1_000_000), SMALL_FILE.seconds)


def _listed(folder: Path) -> list[Entry]:
    manifest = read_manifest(folder)
    return [] if manifest is None else manifest.files


def _journaled(folder: Path) -> Iterator[Entry]:
    lines = (folder / JOURNAL).read_bytes().splitlines() if (folder / JOURNAL).exists() else []
    for line in lines:
        with suppress(msgspec.DecodeError):  # empty, or cut off when the build was killed
            yield msgspec.json.decode(line, type=Entry)


def _intact(folder: Path, entries: list[Entry], wanted: set[str]) -> dict[str, Entry]:
    """Return the wanted images of a folder that haven't changed since they were stored."""
    return {
        entry.file: entry
        for entry in entries
        if entry.file in wanted
        and (folder / entry.file).is_file()
        and hash_of((folder / entry.file).read_bytes()) == entry.sha256
    }
