"""The options that say where a data set is, for every command that reads one."""

from typing import Annotated

import typer

TrainJson = Annotated[
    str | None, typer.Option("--train-json", help="Annotation file of the training images, if it isn't recognized.")
]
ValJson = Annotated[str | None, typer.Option("--val-json", help="Annotation file of the validation images.")]
Images = Annotated[str | None, typer.Option("--images", help="Folder of the images, if it isn't recognized.")]
ValShare = Annotated[
    float | None,
    typer.Option("--val-share", help="Share of the images to hold out for validation, if there is no val split."),
]


def with_options(
    data: str | None,
    train_json: str | None = None,
    val_json: str | None = None,
    images: str | None = None,
    val_share: float | None = None,
) -> str:
    """Return the data set with its options as one text, which a run stores.

    Raises:
        ConfigError: neither the data set nor its files are named, or an option can't be used.
    """
    if data is not None and all(option is None for option in (train_json, val_json, images, val_share)):
        return data
    from coursekit.data.source_options import source_of

    return str(source_of(data, train_json, val_json, images, val_share))
