"""Inputs for the cases of checks: boxes, feature maps, and small annotation files."""

from typing import Any

import torch
from torch import Tensor

from coursekit.data.boxes import Size

Record = dict[str, Any]
Content = dict[str, list[Record]]


def boxes(generator: torch.Generator, count: int, dtype: torch.dtype = torch.float32, width: float = 100) -> Tensor:
    """Return random boxes: (count, 4) xyxy in pixels, each at least 2 wide and high, some with corners below 0."""
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * width - 5
    side = torch.rand(count, 2, generator=generator, dtype=dtype) * width / 2 + 2
    return torch.cat([corner, corner + side], dim=1)


def clusters(generator: torch.Generator, objects: int, each: int) -> tuple[Tensor, Tensor]:
    """Return `each` random boxes around each of `objects` objects, and a random score per box.

    Their shapes are (objects * each, 4) xyxy and (objects * each,).
    """
    around = boxes(generator, objects, width=200).repeat_interleave(each, 0)
    moved = around + 4 * torch.randn(around.shape, generator=generator)
    valid = torch.cat([moved[:, :2], torch.maximum(moved[:, 2:], moved[:, :2] + 1)], dim=1)
    return valid, torch.rand(len(valid), generator=generator)


def xyxy(*rows: tuple[float, float, float, float]) -> Tensor:
    """Return boxes from tuples: (N, 4) float32."""
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def coordinates(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a (2, height, width) map in which each cell holds its own row and column: a wrong order shows at once."""
    rows, columns = torch.arange(height, dtype=dtype), torch.arange(width, dtype=dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def content_of(
    image_ids: list[int], annotations: list[Record], category_ids: tuple[int, ...] = (1,), size: Size = (6, 8)
) -> Content:
    """Return an annotation file as `json` reads it; its images are all of one size, (height, width) in pixels."""
    height, width = size
    return {
        "images": [{"id": id_, "file_name": f"{id_}.png", "width": width, "height": height} for id_ in image_ids],
        "annotations": annotations,
        "categories": [{"id": id_, "name": f"class {id_}"} for id_ in category_ids],
    }


def entry(
    id_: int, image_id: int, category_id: int = 1, bbox: tuple[float, ...] = (1, 1, 4, 3), *, iscrowd: int = 0
) -> Record:
    """Return an entry of "annotations"; `bbox` is (left, top, width, height) in pixels."""
    return {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), "iscrowd": iscrowd}
