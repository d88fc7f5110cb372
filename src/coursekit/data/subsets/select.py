"""Select the images of a subset. The same recipe selects the same images each time."""

import numpy as np

from coursekit.core.errors import ConfigError
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.subsets.recipe import Recipe


def select(index: CocoIndex, recipe: Recipe, split: str, taken: Rows | None = None) -> Rows:
    """Return the rows of the images for one split, sorted.

    Args:
        index: index of the COCO split that the recipe names.
        recipe: see `Recipe`.
        split: "train" or "val".
        taken: rows that belong to another split from the same file.

    Raises:
        ConfigError: the recipe asks for more images than there are, or for a class that the file doesn't have.
    """
    wanted = recipe.images[split]
    candidates = _candidates(index, recipe, taken)
    if wanted > len(candidates):
        raise ConfigError(
            f"{recipe.name}: {wanted} images wanted for {split}, but only {len(candidates)} in {index.path.name} meet "
            "the conditions. Ask for fewer, or relax `classes`, `licenses` or `smallest_box`."
        )
    rng = np.random.default_rng([recipe.seed, ("train", "val").index(split)])
    shuffled = candidates[rng.permutation(len(candidates))]
    if wanted and recipe.balanced:
        shuffled = _balanced(index, recipe, shuffled, wanted)
    return np.sort(shuffled[: wanted or None])


def kept_boxes(index: CocoIndex, recipe: Recipe) -> np.ndarray:
    """Return (N,) bool: whether each box is of the recipe's classes and large enough. Crowds may have any size."""
    side = np.sqrt(index.boxes[:, 2] * index.boxes[:, 3])
    large = index.is_crowd | (side >= recipe.smallest_box)
    ids = index.ids_of(recipe.classes)
    return large & np.isin(index.category_ids, ids) if ids else large


def _candidates(index: CocoIndex, recipe: Recipe, taken: Rows | None) -> Rows:
    chosen = np.ones(len(index), bool)
    rows, kept = index.image_rows, kept_boxes(index, recipe)
    if recipe.classes or recipe.smallest_box:  # otherwise, images without boxes are part of the subset
        chosen &= np.bincount(rows[kept & ~index.is_crowd], minlength=len(index)) > 0
    if recipe.crowds == "avoid":
        chosen &= np.bincount(rows[index.is_crowd], minlength=len(index)) == 0
    if recipe.licenses:
        chosen &= np.isin(index.licenses, recipe.licenses)
    if taken is not None:
        chosen[taken] = False
    return np.flatnonzero(chosen)


def _balanced(index: CocoIndex, recipe: Recipe, shuffled: Rows, wanted: int) -> Rows:
    """Choose `wanted` images one by one, each for the class that is in the fewest images so far. The others follow."""
    kept = kept_boxes(index, recipe) & ~index.is_crowd
    ids = sorted(set(index.category_ids[kept].tolist()))
    contains = np.zeros((len(index), len(ids)), bool)
    contains[index.image_rows[kept], np.searchsorted(ids, index.category_ids[kept])] = True
    queues = [shuffled[contains[shuffled, column]].tolist()[::-1] for column in range(len(ids))]
    chosen: dict[int, None] = {}
    counts = np.zeros(len(ids))
    while len(chosen) < wanted and np.isfinite(counts).any():
        rarest = int(np.argmin(counts))
        while queues[rarest] and queues[rarest][-1] in chosen:
            queues[rarest].pop()
        if not queues[rarest]:
            counts[rarest] = np.inf  # no image of this class is left
            continue
        row = queues[rarest].pop()
        chosen[row] = None
        counts += contains[row]
    rest = [row for row in shuffled.tolist() if row not in chosen]
    return np.array([*chosen, *rest], np.intp)
