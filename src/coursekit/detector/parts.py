"""The parts of a detector, each of which an intern's or torchvision's can replace."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Any

from torchvision import ops

from coursekit.core.errors import ConfigError
from coursekit.detector import anchors, boxes, fpn, roi, rpn
from coursekit.detector.adapters import adapt

PARTS: dict[str, Callable[..., Any]] = {  # each after those that it calls
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


def choose_parts(replaced: Mapping[str, Callable[..., Any]] | None = None) -> SimpleNamespace:
    """All parts by name, with some of them replaced.

    A part of ours that calls another takes it as a keyword of that name, so `nms` reaches `propose` and `postprocess`.
    A part of somebody else's is taken as it is.

    Args:
        replaced: name → function or class; `FPN` and `RPNHead` may also be written as their classes are.

    Raises:
        ConfigError: there is no part of that name, or what stands for it can't be called.
    """
    wanted = {_name(key): adapt(_callable(key, part)) for key, part in (replaced or {}).items()}
    if "axis_weights" in wanted:  # torchvision's kernel has none
        wanted.setdefault("roi_align", partial(roi.roi_align, axis_weights=wanted["axis_weights"]))
    chosen: dict[str, Callable[..., Any]] = {}
    for name, part in PARTS.items():
        called = {key: chosen[key] for key in _keywords(part) if chosen[key] is not PARTS[key]}
        chosen[name] = wanted.get(name) or (partial(part, **called) if called else part)
    return SimpleNamespace(**chosen)


def _keywords(part: Callable[..., Any]) -> list[str]:
    return [key for key, one in signature(part).parameters.items() if one.kind is one.KEYWORD_ONLY]


def _callable(key: str, part: Any) -> Callable[..., Any]:
    if not callable(part):
        raise ConfigError(f"parts: {key!r} is {part!r}: a function or a class is expected.")
    return part


def _name(key: str) -> str:
    for name in PARTS:
        if name.replace("_", "") == key.replace("_", "").lower():
            return name
    raise ConfigError(f"parts: there is none called {key!r}. They are: {', '.join(PARTS)}.")
