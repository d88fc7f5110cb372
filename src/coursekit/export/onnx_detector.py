"""Run an exported detector with onnxruntime: no PyTorch model, the same detections."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coursekit.core.errors import DataError
from coursekit.export.packages import need_packages
from coursekit.export.prepare import prepare_image, restore_boxes
from coursekit.export.settings import KEY, from_json


class OnnxDetector:
    """A detector in an ONNX file, called with one image at a time.

    Args:
        path: the file that `coursekit export` wrote.
        threads: how many onnxruntime may use; None lets it choose.

    Attributes:
        settings: how it was exported, and the names of its classes.

    Raises:
        ConfigError: onnxruntime isn't installed.
        DataError: the file can't be read, or `coursekit export` didn't write it.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        need_packages("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self.session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no common class
            reason = (str(error).splitlines() or [""])[0]
            raise DataError(f"{path}: can't be loaded ({reason}). Export it again.") from None
        self.settings = from_json(self.session.get_modelmeta().custom_metadata_map.get(KEY, ""), path)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return the detections in a (3, H, W) uint8 image, in its pixels: boxes, labels and scores, best first."""
        outputs = self.stages(image)
        is_real = outputs["scores"] >= 0
        return {name: outputs[name][is_real] for name in ("boxes", "labels", "scores")}

    def stages(self, image: Tensor) -> dict[str, Tensor]:
        """Return all outputs by name: see `Settings`. Boxes are in pixels of the image; padding is included."""
        settings = self.settings
        batch, scale = prepare_image(image, settings.size, settings.mean, settings.std)
        size = image.shape[1], image.shape[2]
        outputs = self.run(batch, torch.tensor([size[0] * scale[0], size[1] * scale[1]]).round())
        for stage in settings.stages:
            outputs[stage.boxes] = restore_boxes(outputs[stage.boxes], scale, size)
        return outputs

    def run(self, batch: Tensor, image_size: Tensor) -> dict[str, Tensor]:
        """Return all outputs by name, for a prepared image and its (height, width) without padding."""
        inputs = {"image": batch.numpy(), "image_size": image_size.float().numpy()}
        outputs = self.session.run(self.settings.outputs, inputs)
        return {name: torch.from_numpy(value) for name, value in zip(self.settings.outputs, outputs, strict=True)}
