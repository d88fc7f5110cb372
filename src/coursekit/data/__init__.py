"""From COCO's annotations to batches of images and boxes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.data.everything import (
        CocoDataset,
        CocoIndex,
        Scene,
        Target,
        collate,
        flip_with_boxes,
        load,
        read_image,
        scene,
        xywh_to_xyxy,
        xyxy_to_xywh,
    )  # fmt: skip

__all__ = [
    "CocoDataset",
    "CocoIndex",
    "Scene",
    "Target",
    "collate",
    "flip_with_boxes",
    "load",
    "read_image",
    "scene",
    "xywh_to_xyxy",
    "xyxy_to_xywh",
]


def __getattr__(name: str) -> Any:
    """Import on demand: a command that lists recipes doesn't wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from coursekit.data import everything

    return getattr(everything, name)
