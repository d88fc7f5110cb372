"""Where a recipe's subset is stored, and how much a build fetches and stores."""

import hashlib
from pathlib import Path

import msgspec

from coursekit.core.files import cache_folder
from coursekit.data.subsets.recipe import COCO_IMAGES, Recipe

BYTES_PER_IMAGE = 162_000  # on average, in both splits


def subset_folder(recipe: Recipe) -> Path:
    """Return where a recipe's subset is stored. Another recipe of the same name has another folder."""
    key = hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()[:8]
    return cache_folder() / f"{recipe.name}-{key}"


def estimate(recipe: Recipe) -> dict[str, int]:
    """Estimate, without network, how many files a build fetches, how many bytes these are, and how many it stores."""
    files = sum(count or COCO_IMAGES[recipe.split_of[split]] for split, count in recipe.images.items())
    share = min(1.0, (recipe.long_side / 640) ** 2) if recipe.long_side else 1.0
    download_bytes = files * BYTES_PER_IMAGE
    return {"files": files, "download_bytes": download_bytes, "disk_bytes": int(download_bytes * share)}
