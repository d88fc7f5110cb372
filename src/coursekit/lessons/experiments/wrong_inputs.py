"""What does a detector find if its images were prepared otherwise than in training?"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from coursekit.data import CocoDataset
from coursekit.evaluation import Detection, score, to_coco_results
from coursekit.export.fixed_shapes import pad_image
from coursekit.export.graph import input_size
from coursekit.export.prepare import restore_boxes

Prepare = Callable[[Tensor, tuple[int, int]], tuple[Tensor, tuple[float, float]]]


@torch.inference_mode()
def detect(detector: Any, image: Tensor, prepare: Prepare, restore: Callable[..., Tensor] = restore_boxes) -> Detection:
    """Return the detections in an image, in its pixels, with an image that was prepared by hand.

    Args:
        detector: ours, in eval mode, on the CPU.
        image: (3, H, W) uint8.
        prepare: called with the image and the size of the detector's input.
        restore: see `restore_boxes`.
    """
    batch, (vertical, horizontal) = prepare(image, input_size(detector))
    size = image.shape[1], image.shape[2]
    found = detector.predict(pad_image(batch), [(round(size[0] * vertical), round(size[1] * horizontal))])[0]
    return {**found, "boxes": restore(found["boxes"], (vertical, horizontal), size)}


def score_each(
    detector: Any, dataset: CocoDataset, prepares: Mapping[str, Prepare], my_costliest: str
) -> dict[str, dict[str, float]]:
    """Score a detector with each way to prepare images. Print which way costs most AP50, and the reader's guess.

    Args:
        detector: ours, in eval mode.
        dataset: the images to detect in.
        prepares: name → a function like `prepare_image`; the first one is right.
        my_costliest: the name of the reader's guess.

    Returns:
        COCO's numbers by name.
    """
    bar = tqdm(prepares.items(), "preparing in turn", unit="way")
    scores = {name: _scored(detector, dataset, prepare) for name, prepare in bar}
    right, *others = scores
    costs = {name: scores[right]["AP50"] - scores[name]["AP50"] for name in others}
    costliest = max(costs, key=lambda name: costs[name])
    if all(numbers["AP50"] <= 0 for numbers in scores.values()):
        print("With this detector, AP50 is 0 every way.")
    else:
        most = f"{costliest} costs most: {costs[costliest]:.2f} AP50"
        print(f"{most if costs[costliest] > 0 else 'none of them costs AP50'}; you said {my_costliest}")
    return scores


def _scored(detector: Any, dataset: CocoDataset, prepare: Prepare) -> dict[str, float]:
    detections = [detect(detector, dataset[position][0], prepare) for position in range(len(dataset))]
    return score(to_coco_results(detections, dataset.image_ids, dataset.category_ids), dataset)


def largest_difference(
    detector: Any, images: list[Tensor], prepare: Prepare, restore: Callable[..., Tensor]
) -> tuple[float, int]:
    """Compare the boxes in hand-prepared images with those of the detector's own way.

    Returns:
        How far two boxes are apart at most, in pixels, or infinity if an image has more of them one way than the other;
        and how many boxes were compared.
    """
    apart, count = [0.0], 0
    for image in images:
        by_hand = detect(detector, image, prepare, restore)
        with torch.inference_mode():
            own = detector([image / 255], pad_to=input_size(detector))[0]
        if len(by_hand["boxes"]) != len(own["boxes"]):
            return float("inf"), count
        count += len(own["boxes"])
        if len(own["boxes"]):
            apart.append(float((by_hand["boxes"] - own["boxes"]).abs().max()))
    return max(apart), count
