"""What a program must know about an exported detector: it is stored in the ONNX file, and beside it for the page."""

import msgspec

from coursekit import __version__
from coursekit.core.errors import DataError
from coursekit.data.boxes import Size

KEY = "coursekit"  # in the metadata of the ONNX file


class Stage(msgspec.Struct, frozen=True):
    """A stage of the detector whose boxes are outputs.

    Attributes:
        title: what people call it.
        boxes: name of the output with the boxes, (N, 4) xyxy in pixels of the input.
        scores: name of the output with their scores, (N,) from 0 to 1; −1 says that there is no box.
        labels: name of the output with their labels, (N,) int64 from 1 to K; None if they have none yet.
    """

    title: str
    boxes: str
    scores: str
    labels: str | None = None

    @property
    def outputs(self) -> list[str]:
        """The names of its outputs."""
        return [self.boxes, self.scores, *([self.labels] if self.labels else [])]


DETECTIONS = Stage("Detections", "boxes", "scores", "labels")


class Settings(msgspec.Struct, frozen=True):
    """How to call an exported detector, and what its outputs mean.

    Attributes:
        classes: names of labels 1, 2, …
        size: (height, width) of its input in pixels.
        mean: mean of red, green and blue, for images from 0 to 1; see `prepare_image`.
        std: their standard deviation.
        stages: its stages, of which the detections are the last.
        version: version of coursekit that exported it.
    """

    classes: list[str]
    size: Size
    mean: list[float]
    std: list[float]
    stages: list[Stage]
    version: str = __version__

    @property
    def outputs(self) -> list[str]:
        """The names of all outputs, in order."""
        return [name for stage in self.stages for name in stage.outputs]


def as_json(settings: Settings) -> bytes:
    """Return the settings as JSON."""
    return msgspec.json.encode(settings)


def from_json(text: str | bytes, name: object) -> Settings:
    """Read settings.

    Raises:
        DataError: they are damaged, or the file was not exported by `coursekit`.
    """
    try:
        return msgspec.json.decode(text, type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: not exported by coursekit, or damaged ({error}). Export it again.") from None
