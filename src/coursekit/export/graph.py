"""A trained detector as a graph with fixed shapes: what `write_onnx` turns into one file."""

from typing import NamedTuple

from torch import nn

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size
from coursekit.detector.fcos import FCOS
from coursekit.detector.model import FasterRCNN
from coursekit.export.fixed_shapes import PaddedNms
from coursekit.export.one_stage import OneStageGraph
from coursekit.export.two_stages import TwoStageGraph

INPUTS = ("image", "image_size")


class Limits(NamedTuple):
    """The options that decide which detections are kept."""

    score_thresh: float
    nms_thresh: float
    detections_per_img: int


def make_graph(model: nn.Module, nms: PaddedNms | None = None) -> TwoStageGraph | OneStageGraph:
    """Return a detector as a graph; arguments as in `TwoStageGraph`.

    Raises:
        ConfigError: this kind of detector can't be exported.
    """
    input_size(model)
    known = _known(model)
    return TwoStageGraph(known, nms) if isinstance(known, FasterRCNN) else OneStageGraph(known, nms)


def input_size(model: nn.Module) -> Size:
    """Return the (height, width) of an exported detector's input: the square that training fitted images into.

    Raises:
        ConfigError: this kind of detector can't be exported.
    """
    options = _known(model).options
    if options.min_size != options.max_size:
        raise ConfigError("this detector can't be exported: its input is no square. Use equal min_size and max_size.")
    return options.max_size, options.max_size


def limits_of(model: nn.Module) -> Limits:
    """Return the limits of a detector."""
    known = _known(model)
    if isinstance(known, FasterRCNN):
        two = known.options
        return Limits(two.box_score_thresh, two.box_nms_thresh, two.box_detections_per_img)
    one = known.options
    return Limits(one.score_thresh, one.nms_thresh, one.detections_per_img)


def _known(model: nn.Module) -> FasterRCNN | FCOS:
    if not isinstance(model, FasterRCNN | FCOS):
        raise ConfigError(f"a {type(model).__name__} can't be exported. Use `build_detector`, or `coursekit train`.")
    return model
