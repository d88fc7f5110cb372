"""The parts of each kind of detector. Each of them can be replaced by an intern's or by torchvision's."""

from collections.abc import Iterable, Mapping
from functools import partial
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

from torchvision import ops

from coursekit.core.config import FASTER_RCNN, FCOS_KIND, KIND_NAMES
from coursekit.core.errors import ConfigError
from coursekit.detector import anchors, boxes, cells, fpn, one_stage, roi, rpn
from coursekit.detector.boxes import Part
from coursekit.detector.torchvision_parts import adapt

PARTS: dict[str, Part] = {  # of a Faster R-CNN; each part comes after those that it calls
    "box_iou": boxes.box_iou, "encode_boxes": boxes.encode_boxes, "decode_boxes": boxes.decode_boxes,
    "nms": ops.nms,  # the compiled twin of boxes.nms
    "merge_top_down": fpn.merge_top_down, "fpn": fpn.FPN,
    "make_anchors": anchors.make_anchors, "match_anchors": anchors.match_anchors,
    "sample_balanced": anchors.sample_balanced,
    "rpn_head": rpn.RPNHead, "rpn_losses": rpn.rpn_losses, "propose": rpn.propose,
    "level_for_box": roi.level_for_box, "axis_weights": roi.axis_weights, "roi_align": roi.fastest_roi_align,
    "pool_levels": roi.pool_levels, "box_head": roi.BoxHead,
    "sample_rois": roi.sample_rois, "detection_losses": roi.detection_losses, "postprocess": roi.postprocess,
}  # fmt: skip
FCOS_PARTS: dict[str, Part] = {
    "box_iou": boxes.box_iou,  # only an intern's own `nms` calls it
    "nms": ops.nms, "merge_top_down": fpn.merge_top_down, "fpn": fpn.FPN,
    "assign_cells": cells.assign_cells, "encode_distances": cells.encode_distances,
    "decode_distances": cells.decode_distances, "centerness": cells.centerness,
    "focal_loss": one_stage.focal_loss, "one_stage": one_stage.OneStage,
    "postprocess_one_stage": one_stage.postprocess_one_stage,
}  # fmt: skip
PARTS_OF_KIND = {FASTER_RCNN: PARTS, FCOS_KIND: FCOS_PARTS}
# These draw at random. The value is the keyword of their generator, which a replacement may leave out.
RANDOM = {"sample_balanced": "generator", "rpn_losses": "generators", "sample_rois": "generator"}


def choose_parts(replaced: Mapping[str, Part] | None = None, kind: str = FASTER_RCNN) -> SimpleNamespace:
    """Return all parts of a kind of detector by name, with some of them replaced.

    A part of ours takes the parts that it calls as keyword-only arguments, so a replaced `nms` reaches `propose` and
    `postprocess`. A replacement is called like ours, except that it need not take a random generator (see RANDOM).

    Args:
        replaced: name → function or class. `FPN`, `RPNHead`, `BoxHead` and `OneStage` may be spelled like the classes.
        kind: one of `core.config.KINDS`.

    Raises:
        ConfigError: this kind has no part of that name, or the replacement can't be called.
    """
    parts = PARTS_OF_KIND[kind]
    replacements = {_name(key, kind): adapt(_callable(key, part)) for key, part in (replaced or {}).items()}
    replacements = {name: _accepting(RANDOM.get(name), part) for name, part in replacements.items()}
    if "axis_weights" in replacements:  # torchvision's kernel doesn't call it
        replacements.setdefault("roi_align", partial(roi.roi_align, axis_weights=replacements["axis_weights"]))
    chosen: dict[str, Part] = {}
    for name, part in parts.items():
        called = {key: chosen[key] for key in _keyword_only(part) if chosen[key] is not parts[key]}
        chosen[name] = replacements.get(name) or (partial(part, **called) if called else part)
    return SimpleNamespace(**chosen)


def part_names(keys: Iterable[str]) -> set[str]:
    """Return the names of a Faster R-CNN's parts that are given as `choose_parts` takes them: "FPN" is "fpn"."""
    return {_name(key, FASTER_RCNN) for key in keys}


def _accepting(keyword: str | None, part: Part) -> Part:
    """Return the part, wrapped if needed so that it can be called with this keyword."""
    if keyword is None:
        return part
    parameters = signature(part).parameters
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    return part if keyword in parameters or takes_any else partial(_call_without, keyword, part)


def _call_without(keyword: str, part: Part, *args: Any, **kwargs: Any) -> Any:
    kwargs.pop(keyword, None)
    return part(*args, **kwargs)


def _keyword_only(part: Part) -> list[str]:
    parameters = signature(part).parameters
    return [name for name, parameter in parameters.items() if parameter.kind is Parameter.KEYWORD_ONLY]


def _callable(key: str, part: Any) -> Part:
    if not callable(part):
        raise ConfigError(f"parts: {key!r} is {part!r}; expected a function or a class.")
    return part


def _name(key: str, kind: str) -> str:
    if name := _found(key, kind):
        return name
    others = [KIND_NAMES[other] for other in PARTS_OF_KIND if _found(key, other)]
    hint = f" here, only in {others[0]}" if others else ""
    raise ConfigError(f"parts: there is no part {key!r}{hint}. Choose from: {', '.join(PARTS_OF_KIND[kind])}.")


def _found(key: str, kind: str) -> str | None:
    return next((name for name in PARTS_OF_KIND[kind] if name.replace("_", "") == key.replace("_", "").lower()), None)
