"""What happens around an exported detector: an image goes in as in training, and boxes come back to its pixels.

`graph` holds what happens between. The page that `coursekit export --web` writes does in JavaScript what
`prepare_image` and `restore_boxes` do here.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.data.boxes import Size
from coursekit.detector.backbone import IMAGENET_MEAN, IMAGENET_STD
from coursekit.detector.boxes import box_iou, clip_boxes

Scale = tuple[float, float]


def prepare_image(
    image: Tensor, size: Size, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[Tensor, Scale]:
    """Turn an image into the input of an exported detector, exactly as `to_batch` does in training.

    The image is resized to the largest size that fits, then normalized, then padded with zeros on the right and at the
    bottom. Its sides become `int(side * factor)`, in float64, as in torchvision, but at least 1: 392 becomes 255 at a
    size of 256, because 392 * (256 / 392) is a little less than 256.

    Args:
        image: (3, H, W) uint8, red first.
        size: (height, width) of the detector's input, in pixels. It is the square that training fitted images into.
        mean: mean of red, green and blue, for images from 0 to 1.
        std: their standard deviation.

    Returns:
        The input, (1, 3, height, width) float32; and the scale, (vertical, horizontal): resized height / H and resized
        width / W. They differ a little, because each side was rounded.
    """
    height, width = image.shape[1:]
    factor = min(size[0] / height, size[1] / width)
    new_height, new_width = max(1, int(height * factor)), max(1, int(width * factor))
    resized = F.interpolate(image[None] / 255, (new_height, new_width), mode="bilinear", align_corners=False)
    center, spread = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    padded = F.pad((resized - center) / spread, (0, size[1] - new_width, 0, size[0] - new_height))
    return padded, (new_height / height, new_width / width)


def restore_boxes(boxes: Tensor, scale: Scale, size: Size) -> Tensor:
    """Move boxes from the pixels of a detector's input to those of the image.

    Args:
        boxes: (N, 4) xyxy in pixels of the input.
        scale: (vertical, horizontal), from `prepare_image`.
        size: (height, width) of the image. Boxes are clipped there.

    Returns:
        (N, 4) xyxy in pixels of the image, of the same dtype.
    """
    vertical, horizontal = scale
    return clip_boxes(boxes / boxes.new_tensor([horizontal, vertical, horizontal, vertical]), size)


def nms_padded(boxes: Tensor, scores: Tensor, threshold: float, count: int) -> Tensor:
    """Apply non-maximum suppression with shapes that don't depend on the numbers, as a fixed graph needs them.

    Args:
        boxes: (N, 4) xyxy in pixels, N at least 1.
        scores: (N,) float; −∞ says that there is no box: it is never kept and suppresses nothing. Of equal scores, the
            first comes first.
        threshold: a box is dropped if its IoU with a better box that is kept exceeds this.
        count: length of the result.

    Returns:
        (count,) int64, the positions of the first `count` boxes that are kept, best first; then −1 for the places that
        are left.
    """
    drops = box_iou(boxes, boxes) > threshold  # (N, N)
    positions, kept = torch.arange(len(boxes), device=boxes.device), []
    for _ in range(count):
        score, best = scores.max(0)  # of equal scores, the first
        kept.append(torch.where(score > -torch.inf, best, -1))
        is_done = drops.index_select(0, best[None])[0] | (positions == best)  # (N,)
        scores = scores.masked_fill(is_done, -torch.inf)
    return torch.stack(kept)
