"""What photographs would cost on this machine, and what published detectors reach."""

from coursekit.data.subsets.footprint import estimate
from coursekit.data.subsets.recipe import COCO_IMAGES, find_recipe, names
from coursekit.lessons.experiments.expected_ap import print_expected
from coursekit.memory.planner import LONG_SIDES, Card

ZOO = {  # torchvision's Faster R-CNN with FPN
    "MobileNetV3, 320 px": "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights",
    "MobileNetV3, 800 px": "FasterRCNN_MobileNet_V3_Large_FPN_Weights",
    "ResNet-50, 800 px": "FasterRCNN_ResNet50_FPN_Weights",
}


def print_bill(speed: float, size: int, line: float, card: Card | None) -> None:
    """Print for each recipe of photographs what there is to download, and how long an epoch takes here.

    Args:
        speed: images a second, measured at a long side of `size` pixels. More pixels are taken to cost in proportion.
        size: see `speed`.
        line: speed of the internet connection, in megabits a second.
        card: what fits on a card; None leaves that column empty, and a line says why.
    """
    print("recipe         images   download   on disk   to download   an epoch here   fit on the card")
    for name in names():
        recipe = find_recipe(name)
        if recipe.source != "coco":
            continue
        cost = estimate(recipe)
        count = recipe.images["train"] or COCO_IMAGES[recipe.split_of["train"]]
        hours = count / speed * (recipe.long_side / size) ** 2 / 3600
        download, disk = cost["download_bytes"] / 1e9, cost["disk_bytes"] / 1e9
        fit = f"{_most_at_a_time(card, recipe.long_side) or '?'} of {recipe.long_side} px" if card else "–"
        waiting = download * 8000 / line / 3600
        took = f"{_hours(waiting):>13} {_hours(hours):>15}"
        print(f"{name:12} {count:8,} {download:7.2f} GB {disk:6.2f} GB {took}   {fit:>15}")
    if card is None:
        print("(–: no card was planned for in 10.3, as in the short form)")


def print_expected_and_published() -> None:
    """Print what this course's code has reached, and what published detectors reach."""
    print_expected()
    print()
    print_published()


def print_published() -> None:
    """Print AP and size of torchvision's detectors, as the installed package gives them."""
    from torchvision.models import detection

    print("Faster R-CNN + FPN     AP   million weights")
    for name, weights in ZOO.items():
        meta = getattr(detection, weights).COCO_V1.meta
        print(f"{name:20} {meta['_metrics']['COCO-val2017']['box_map']:5.1f} {meta['num_params'] / 1e6:10.1f}")


def _hours(hours: float) -> str:
    return "< 0.1 h" if hours < 0.05 else f"{hours:,.1f} h"


def _most_at_a_time(card: Card, long_side: int) -> int:
    """Return how many images of this size the card takes at once; of the next larger size in the plan."""
    larger = [size for size in LONG_SIDES if int(size) >= long_side][:1]
    return max((each.batch for each in card.candidates if each.size in larger and each.verdict == "fits"), default=0)
