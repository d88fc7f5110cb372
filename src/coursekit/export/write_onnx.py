"""Write a trained detector as one ONNX file."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file
from coursekit.export.fixed_shapes import PaddedNms
from coursekit.export.graph import INPUTS, input_size, make_graph
from coursekit.export.nms_op import suppress_in_onnx
from coursekit.export.packages import need_packages
from coursekit.export.settings import KEY, Settings, as_json

OPSET = 18  # of ONNX's operators: older programs can read it, too


def write_onnx(model: nn.Module, classes: Sequence[str], path: Path, nms: PaddedNms | None = None) -> Settings:
    """Write a trained detector as one ONNX file, which holds its weights, too.

    Args:
        model: a detector; it is moved to the CPU.
        classes: the names of its classes.
        path: the file.
        nms: a function such as `nms_padded`, which replaces ONNX's operator NonMaxSuppression in both places: for
            runtimes that don't have it. Its rounds are written one by one, so this takes minutes.

    Raises:
        ConfigError: a package of the extra `export` is missing, the file can't be written, or the detector can't be
            exported.
        DataError: the disk is full.
    """
    need_packages()
    make_folder(path.parent)
    detector: Any = model.cpu().eval()
    graph, size = make_graph(detector, nms).eval(), input_size(detector)
    settings = Settings(list(classes), size, detector.backbone.mean, detector.backbone.std, list(graph.stages))
    example = torch.zeros(1, 3, *size), torch.tensor(size, dtype=torch.float32)
    program: Any = _exported(graph, example, settings.outputs)
    program.model.metadata_props[KEY] = as_json(settings).decode()
    with new_file(path) as partial:
        program.save(partial, external_data=False)
    return settings


def _exported(graph: nn.Module, example: tuple[torch.Tensor, ...], outputs: list[str]) -> Any:
    translations: Any = {torch.ops.coursekit.suppress.default: suppress_in_onnx}
    try:
        with torch.no_grad(), _quiet():
            return torch.onnx.export(
                graph, example, dynamo=True, verbose=False, opset_version=OPSET, input_names=INPUTS,
                output_names=outputs, custom_translation_table=translations,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        reason = error.__cause__ or error
        raise ConfigError(
            f"this detector can't be written as ONNX ({_first_line(reason)}). The graph is recorded once, so no "
            "part may decide in Python by what is in a tensor. If it has parts of yours: try the course's, one by one."
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].removesuffix(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about its own inner life."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
