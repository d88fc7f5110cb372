"""What `coursekit export` does: write a run's detector, and keep the file only if it finds what PyTorch's finds."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.core.files import make_folder, new_file
from coursekit.data import load
from coursekit.export.agreement import Agreement, check_agreement
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.settings import Settings
from coursekit.export.write_onnx import write_onnx
from coursekit.runs.run_config import RunConfig

SCENES = 100  # images on which an export is checked


def export_run(model: nn.Module, config: RunConfig, path: Path, data: str | None = None) -> tuple[Settings, Agreement]:
    """Write a run's detector as one ONNX file, after comparing it with PyTorch's.

    Args:
        model: the detector, from `load_run`.
        config: its configuration.
        path: the file.
        data: the data set whose validation images are compared; by default the one that it was trained on.

    Raises:
        ConfigError: see `write_onnx`.
        DataError: the two don't agree, or there is no data set to compare them on.
    """
    images = validation_images(data or config.data)
    make_folder(path.parent)
    with new_file(path) as partial:
        settings = write_onnx(model, [category.name for category in config.categories], partial)
        shown = tqdm(images, "comparing", SCENES, unit="img", leave=False, delay=2)
        exported = OnnxDetector(partial, threads=1)  # more threads would take turns with PyTorch's, which is slow
        agreement = check_agreement(model, exported, shown)
    return settings, agreement


def validation_images(data: str) -> Iterable[Tensor]:
    """Yield the first SCENES validation images of a data set that can be read, (3, H, W) uint8.

    Raises:
        DataError: there is no such data set, or no image.
    """
    dataset = load(data, "val")
    if not len(dataset):
        raise DataError(f"{data}: has no validation images to compare the export on. Name other data with --data.")

    def read() -> Iterable[Tensor]:
        for row in range(len(dataset)):
            try:
                yield dataset[row][0]
            except DataError:  # training leaves out damaged images, too
                continue

    return islice(read(), SCENES)
