"""Draw a trained detector's detections into pictures. `coursekit predict` calls it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from coursekit.core.device import best_device
from coursekit.core.errors import ConfigError, DataError, command
from coursekit.core.files import make_folder, write_bytes
from coursekit.data.open_with_pillow import PictureError, open_picture
from coursekit.data.read_images import to_tensor
from coursekit.evaluation import predict
from coursekit.runs.save_and_load import Parts, load_run
from coursekit.show.boxes_in_pixels import draw_on


@dataclass(frozen=True)
class DrawnFile:
    """The result for one file.

    Attributes:
        file: the picture.
        out: the drawn picture; None if the file could not be read.
        counts: detections by class.
        problem: why the file could not be read; else empty.
    """

    file: Path
    out: Path | None
    counts: dict[str, int]
    problem: str = ""


def predict_files(
    run_folder: Path, files: Sequence[Path], out: Path, *, threshold: float = 0.5, parts: Parts | None = None
) -> Iterator[DrawnFile]:
    """Draw a run's detections on a copy of each picture. Unreadable files are reported.

    Args:
        run_folder: folder of a run.
        files: pictures of any size, in any format that Pillow reads.
        out: folder for the drawn pictures: PNG files, named after their originals.
        threshold: the lowest score to draw.
        parts: see `load_run`.

    Raises:
        ConfigError: the threshold is not in 0 to 1, or `out` can't be written to.
        DataError: there is no run, or the disk is full.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold}: give a score between 0 and 1.")
    model, config = load_run(run_folder, parts)
    model.to(best_device())
    make_folder(out)
    classes, names_used = [category.name for category in config.categories], Counter[str]()
    for file in tqdm(files, desc="predicting", unit="img", leave=False, delay=2):
        try:
            picture = _read(file)
        except DataError as error:
            yield DrawnFile(file, None, {}, str(error))
            continue
        drawn, counts = _draw(model, picture, classes, threshold)
        target = out / f"{_unique_name(file.stem, names_used)}.png"
        write_bytes(target, _as_png(drawn))
        yield DrawnFile(file, target, counts)


def _as_png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _unique_name(name: str, names_used: Counter[str]) -> str:
    """Number a name that was used before: two folders may have files of the same name."""
    names_used[name] += 1
    return f"{name}-{names_used[name]}" if names_used[name] > 1 else name


def _read(file: Path) -> Image.Image:
    if file.is_dir():
        raise DataError(f"{file}: a folder. Pass its images: {command(file)}/*.jpg")
    try:
        return open_picture(file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{file}: no such file. Check the path.") from None
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror}). Check the file and its permissions.") from None
    except PictureError as error:
        raise DataError(f"{file}: {error.reason}. {error.cure}.") from None


def _draw(
    model: nn.Module, picture: Image.Image, classes: list[str], threshold: float
) -> tuple[Image.Image, dict[str, int]]:
    detection = predict(model, [to_tensor(picture)])[0]
    is_shown = detection["scores"] >= threshold
    boxes, scores = detection["boxes"][is_shown].tolist(), detection["scores"][is_shown].tolist()
    names = [classes[label - 1] for label in detection["labels"][is_shown].tolist()]
    texts = [f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)]
    return draw_on(picture, boxes, texts), dict(Counter(names))
