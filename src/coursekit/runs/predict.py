"""What a trained detector finds in pictures of one's own. `coursekit predict` calls it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from coursekit.core.device import best_device
from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import make_folder, new_file
from coursekit.data.images import open_picture, to_tensor
from coursekit.evaluation import predict
from coursekit.runs.load import Parts, load_run
from coursekit.show.drawn import draw_on


@dataclass(frozen=True)
class Predicted:
    """What came of one file: where its picture lies and what is in it, or why it could not be read."""

    file: Path
    out: Path | None
    found: dict[str, int]
    problem: str = ""


def predict_files(
    run_folder: Path, files: Sequence[Path], out: Path, *, threshold: float = 0.5, parts: Parts | None = None
) -> Iterator[Predicted]:
    """Draw what a run's detector finds into copies of pictures, one after the other; what can't be read is told.

    Args:
        run_folder: what `train` or `demo` wrote.
        files: pictures of any size and kind that Pillow reads.
        out: folder for the drawn pictures, PNG; each is named after its file.
        threshold: the lowest score to draw.
        parts: see `load_run`.

    Raises:
        ConfigError: the threshold is not in 0 to 1, or `out` can't be written to.
        DataError: there is no run.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold}: a score lies between 0 and 1.")
    model, config = load_run(run_folder, parts)
    model.to(best_device())
    make_folder(out)
    classes, taken = [category.name for category in config.categories], Counter[str]()
    for file in tqdm(files, desc="predicting", unit="img", leave=False, delay=2):
        try:
            picture = _read(file)
        except DataError as error:
            yield Predicted(file, None, {}, str(error))
            continue
        taken[file.stem] += 1
        number = f"-{taken[file.stem]}" if taken[file.stem] > 1 else ""  # two folders may have files of one name
        target = out / f"{file.stem}{number}.png"
        drawn, found = _draw(model, picture, classes, threshold)
        with new_file(target) as partial:
            drawn.save(partial)
        yield Predicted(file, target, found)


def _read(file: Path) -> Image.Image:
    if file.is_dir():
        raise DataError(f"{file}: a folder. Name its pictures: {file}/*.jpg")
    try:
        return open_picture(file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{file}: no such file.") from None
    except Exception as error:  # damaged files reach corners of decoders that nobody has listed
        reason = "no kind of image that is known here" if "cannot identify" in str(error) else str(error)
        raise DataError(f"{file}: can't be read ({reason or type(error).__name__}).") from None


def _draw(
    model: nn.Module, picture: Image.Image, classes: list[str], threshold: float
) -> tuple[Image.Image, dict[str, int]]:
    found = predict(model, [to_tensor(picture)])[0]
    sure = found["scores"] >= threshold
    names = [classes[label - 1] for label in found["labels"][sure].tolist()]
    texts = [f"{name} {score:.2f}" for name, score in zip(names, found["scores"][sure].tolist(), strict=True)]
    return draw_on(picture, found["boxes"][sure].tolist(), texts), dict(Counter(names))
