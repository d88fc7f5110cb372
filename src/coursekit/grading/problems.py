"""What could not be read of a submission, in a few sentences, whatever it holds."""

from coursekit.grading.readable import readable

NAMED = 3  # files that a sentence names
SENTENCES = 12


class Problems:
    """Collects files that could not be read, and why.

    A zip can hold hundreds of thousands of bad names, so files with the same problem share a sentence.
    """

    def __init__(self) -> None:
        """Start without problems."""
        self._named: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, file: str, reason: str) -> None:
        """Note that there is a problem with a file.

        Args:
            file: its path in the submission.
            reason: the end of a sentence that begins with the file's name and a colon.
        """
        reason = readable(reason, 300).rstrip(".")
        if reason not in self._counts and len(self._counts) >= SENTENCES:
            reason = "other problems"
        named = self._named.setdefault(reason, [])
        if len(named) < NAMED:
            named.append(readable(file, 100) or "a file without a name")
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def sentences(self) -> list[str]:
        """Return a sentence for each file; if more than a few have the same problem, one for all of them."""
        return [sentence for reason in self._counts for sentence in self._of(reason)]

    def _of(self, reason: str) -> list[str]:
        named, count = self._named[reason], self._counts[reason]
        if count == len(named):
            return [f"{file}: {reason}." for file in named]
        return [f"{count:,} files, such as {', '.join(named)}: {reason}."]
