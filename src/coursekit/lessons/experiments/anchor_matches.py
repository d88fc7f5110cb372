"""Anchors and objects over many scenes: how well they overlap, and how matched ones differ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coursekit.data import CocoDataset
from coursekit.data.boxes import Size
from coursekit.detector.boxes import Part, box_iou
from coursekit.lessons.experiments.choose_scenes import sizes_of

SEARCHED, LARGEST = 60, 110  # images; pixels
SIZES = {"below 16 px": (0, 16), "16 to 32 px": (16, 32), "from 32 px on": (32, 10_000)}
WIDTHS = ((0, 24), (24, 48), (48, 96), (96, 10_000))  # of anchors, in pixels


@dataclass(frozen=True)
class Scene:
    """The objects of an image, and its anchors.

    Attributes:
        boxes: (G, 4) xyxy in pixels, the ground truth; G is at least 1.
        anchors: (N, 4) xyxy in pixels. Images of the same size share them.
    """

    boxes: Tensor
    anchors: Tensor


def varied_scene(dataset: CocoDataset) -> tuple[Tensor, Tensor]:
    """Choose the wide image whose objects have the most different sizes, among the first 60, and none above 110 pixels.

    Returns:
        The image, (3, H, W) uint8, and its boxes, (G, 4) xyxy in pixels.
    """
    samples = [dataset[i] for i in range(min(SEARCHED, len(dataset)))]
    wide = [sample for sample in samples if sample[0].shape[2] > sample[0].shape[1]] or samples
    image, target = max(wide, key=lambda sample: _variety(sample[1]["boxes"]))
    return image, target["boxes"]


def _variety(boxes: Tensor) -> int:
    sizes = sizes_of(boxes).int().tolist()
    return len(set(sizes)) if sizes and max(sizes) < LARGEST else min(len(sizes), 1)


def scenes_with_objects(dataset: CocoDataset, anchors_for: Callable[[Size], Tensor], most: int) -> list[Scene]:
    """Return the scenes with objects among the first `most` images.

    Args:
        dataset: the images.
        anchors_for: takes a size (height, width) in pixels, and returns the anchors of all levels.
        most: how many images to look at.
    """
    anchors: dict[Size, Tensor] = {}
    scenes = []
    for i in range(min(most, len(dataset))):
        size, boxes = dataset.size(i), dataset.target(i)["boxes"]
        if len(boxes):
            anchors[size] = anchors[size] if size in anchors else anchors_for(size)
            scenes.append(Scene(boxes, anchors[size]))
    return scenes


def best_overlaps(scenes: Sequence[Scene], guess: float | None = None) -> tuple[Tensor, Tensor]:
    """Return the √area in pixels of each object, and its IoU with the anchor that overlaps it most: (objects,) each.

    Prints the share of the objects with an IoU of 0.7 or more, beside a guess of it.
    """
    sizes = torch.cat([sizes_of(scene.boxes) for scene in scenes])
    best = torch.cat([box_iou(scene.boxes, scene.anchors).amax(1) for scene in scenes])
    print(f"{(best >= 0.7).float().mean():.0%} of {len(best):,} objects have an anchor with an IoU of 0.7 or more,")
    print(f"{(best[sizes < 16] >= 0.7).float().mean():.0%} of those below 16 pixels")
    print("" if guess is None else f"Your guess, of all objects: {guess:.0%}\n", end="")
    return sizes, best


def matched_share(scenes: Sequence[Scene], rules: Mapping[str, Part]) -> None:
    """Print which share of the objects has an anchor, by size and by rule.

    Args:
        scenes: where to look.
        rules: name → function of (anchors, boxes) that matches as `match_anchors` does.
    """
    sizes = torch.cat([sizes_of(scene.boxes) for scene in scenes])
    print(f"{'objects with an anchor':24}" + "".join(f"{name:>16}" for name in SIZES))
    for rule, match in rules.items():
        has_one = torch.cat([_is_matched(match(scene.anchors, scene.boxes), len(scene.boxes)) for scene in scenes])
        shares = [has_one[(sizes >= low) & (sizes < high)].float().mean() for low, high in SIZES.values()]
        print(f"{rule:24}" + "".join(f"{share:16.1%}" for share in shares))


def _is_matched(matches: Tensor, count: int) -> Tensor:
    return torch.isin(torch.arange(count), matches)


def matched_pairs(scenes: Sequence[Scene], match_anchors: Part, guess: float | None = None) -> tuple[Tensor, Tensor]:
    """Return all anchors that match an object, and the box of that object: (M, 4) xyxy in pixels each.

    Prints how far the centers are apart in x, by the width of the anchor, and a guess for large ones in pixels.
    """
    matches = [match_anchors(scene.anchors, scene.boxes) for scene in scenes]
    anchors = torch.cat([scene.anchors[found >= 0] for scene, found in zip(scenes, matches, strict=True)])
    boxes = torch.cat([scene.boxes[found[found >= 0]] for scene, found in zip(scenes, matches, strict=True)])
    shift, width = ((boxes - anchors)[:, 0::2]).mean(1), anchors[:, 2] - anchors[:, 0]
    print("width of the anchor     shift of the center in x (standard deviation)")
    for low, high in WIDTHS:
        group = (width >= low) & (width < high)
        words = f"from {low} px on" if high == WIDTHS[-1][1] else f"{low} to {high} px"
        if group.sum() > 1:
            print(f"{words:20} {shift[group].std():8.1f} px = {(shift / width)[group].std():.2f} anchor widths")
    print("" if guess is None else f"Your guess for the largest: {guess:g} px\n", end="")
    return anchors, boxes


def round_trips(coders: Mapping[str, tuple[Part, Part]], boxes: Tensor, anchors: Tensor) -> None:
    """Print what each pair of an encoder and a decoder does, together and alone.

    Args:
        coders: name → (encode, decode).
        boxes, anchors: (M, 4) xyxy in pixels each, matched.
    """
    width = anchors[:, 2] - anchors[:, 0]
    anchor, shrunk = torch.tensor([[100.0, 100.0, 140.0, 140.0]]), torch.tensor([[0.0, 0.0, -1.5, 0.0]])
    print(f"{'':18} round trip is off by   spread of dx: small, large anchors   40 px and dw = -1.5 give")
    for name, (encode, decode) in coders.items():
        error = (decode(encode(boxes, anchors), anchors) - boxes).abs().max()
        small, large = (encode(boxes, anchors)[group, 0].std() for group in (width < 24, width >= 96))
        x1, _, x2, _ = decode(shrunk, anchor)[0].tolist()
        print(f"{name:18} {error:18.4f} px {small:23.2f}, {large:5.2f} {x2 - x1:27.1f} px wide")
