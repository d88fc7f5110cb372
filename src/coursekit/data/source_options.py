"""What a command's options say about its data, as one text that is stored with a run and printed in commands."""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from coursekit.core.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """Where a data set is. `str(source)` is what to write after `--data`, and `Source.parse` undoes it.

    Attributes:
        name: a recipe, a folder, or an annotation file with its images beside it.
        train_json, val_json: the annotation files, relative to here or to the folder. None: they are looked for.
        images: the image folder of all splits, relative to here or to the folder. None: it is looked for.
        val_share: share of the images, between 0 and 1, to hold out as `val` where there is no val split.
    """

    name: str
    train_json: str | None = None
    val_json: str | None = None
    images: str | None = None
    val_share: float | None = None

    def __post_init__(self) -> None:
        if self.val_share is not None and not 0 < self.val_share < 1:
            raise ConfigError(f"--val-share {self.val_share}: give a share between 0 and 1, such as 0.2.")
        if self.val_share is not None and self.val_json is not None:
            raise ConfigError("--val-share and --val-json: choose one. With --val-json, nothing needs to be held out.")

    @classmethod
    def parse(cls, text: "str | Path | Source") -> "Source":
        """Return the source that a text stands for: `my-data`, or `my-data --val-share 0.3`.

        Raises:
            ConfigError: it has an unknown option, one without a value, or one whose value can't be used.
        """
        if isinstance(text, Source):
            return text
        if isinstance(text, Path) or " --" not in text or Path(text).expanduser().exists():
            return cls(str(text))
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"--data {text!r}: {error}. Close the quotation marks.") from None
        first = next(position for position, word in enumerate(words) if word.startswith("--"))
        options = {word.removeprefix("--").replace("-", "_"): word for word in words[first::2]}
        values = dict(zip(options, words[first + 1 :: 2], strict=False))
        known = {field.name for field in fields(cls)} - {"name"}
        if len(values) < len(options) or options.keys() - known:
            raise ConfigError(
                f"--data {text!r}: after the folder, only {', '.join(sorted(map(_option, known)))} can follow."
            )
        share = values.pop("val_share", None)
        return cls(" ".join(words[:first]), val_share=_number(share), **values)

    def __str__(self) -> str:
        options = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        given = [f"{_option(name)} {shlex.quote(str(value))}" for name, value in options if value is not None]
        return " ".join([shlex.quote(self.name), *given]) if given else self.name


def source_of(
    data: str | None, train_json: str | None, val_json: str | None, images: str | None, val_share: float | None
) -> Source:
    """Return the source that a command's options describe. Without `data`, it is the folder of the files they name.

    Raises:
        ConfigError: neither a data set nor a file is named, or an option can't be used.
    """
    if data is None:
        files = [str(Path(file).parent) for file in (train_json, val_json) if file is not None]
        data = next(filter(None, [*files, images]), None)
    if data is None:
        raise ConfigError("--data is missing: name a recipe such as mini, or a folder. Or use --train-json FILE.")
    given = Source.parse(data)
    options: dict[str, Any] = {"train_json": train_json, "val_json": val_json, "images": images, "val_share": val_share}
    return replace(given, **{name: value for name, value in options.items() if value is not None})


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ConfigError(f"--val-share {text}: give a number between 0 and 1, such as 0.2.") from None
