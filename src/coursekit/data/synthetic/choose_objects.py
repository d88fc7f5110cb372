"""Which objects are in which scene of a set such as `mini`: how many of each class, how large, empty or crowded.

All random draws come from one generator, so the same seed gives the same scenes.
"""

from collections import deque

import numpy as np
from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.synthetic.glyphs import GLYPHS, OTHERS
from coursekit.data.synthetic.scene import (
    ODD_SIZES,
    USUAL_SIZES,
    Scene,
    Thing,
    add_crowd,
    draw_background,
    hide,
    pick,
    place,
    place_smaller,
)

OBJECTS_IN_A_SCENE = (4, 9)


class Deck:
    """Deals classes in shuffled order, each as often as the others."""

    def __init__(self, rng: np.random.Generator, classes: list[str]) -> None:
        self.rng, self.classes, self.cards = rng, classes, deque[str]()

    def draw(self) -> str:
        """Return the next class."""
        if not self.cards:
            self.cards.extend(str(name) for name in self.rng.permutation(self.classes))
        return self.cards.popleft()

    def put_back(self, name: str) -> None:
        """Put a class back on top of the deck, because its object did not fit into the scene."""
        self.cards.appendleft(name)


def draw_object_sizes(rng: np.random.Generator, count: int, object_size: tuple[float, float]) -> list[float]:
    """Draw `count` log-uniform values of √area, largest first: small things drawn later hide little of large ones."""
    low, high = np.log(object_size)
    return sorted(np.exp(rng.uniform(low, high, count)).tolist(), reverse=True)


def fill_scene(
    rng: np.random.Generator, scene: Scene, deck: Deck, count: int, object_size: tuple[float, float]
) -> None:
    """Add `count` objects from the deck and two distractors.

    About one in six is partly hidden by the thing drawn after it.
    """
    sizes = draw_object_sizes(rng, count, object_size)
    distractors = set(rng.choice(count + 2, 2, replace=False).tolist())
    behind: Thing | None = None
    for turn in range(count + 2):
        name = None if turn in distractors else deck.draw()
        size = float(rng.uniform(18, 80)) if name is None else sizes.pop(0)
        glyph = pick(rng, GLYPHS[name] if name else OTHERS)
        thing = None
        if behind is not None and behind.area > 0:
            covering = float(np.clip(behind.full_area**0.5 * rng.uniform(0.7, 1.1), *object_size))
            thing = hide(rng, scene, behind, name, glyph, covering)
        if name is None and thing is None:
            place_smaller(rng, scene, name, glyph, size)
        elif name is not None:
            thing = thing or place(rng, scene, name, glyph, size)
            if thing is None:
                deck.put_back(name)
        behind = thing if thing and name and rng.random() < 0.27 else None


def draw_split(recipe: Recipe, split: str, first: int | None = None) -> list[Scene]:
    """Draw all scenes of a split, or only the first ones. The same recipe gives the same scenes.

    Raises:
        ConfigError: the recipe has no such split, or a class that has no glyph.
    """
    _check(recipe, split)
    rng = np.random.default_rng([recipe.seed, list(recipe.images).index(split)])
    deck, count = Deck(rng, _common_classes(recipe, split)), recipe.images[split]
    empty, crowds = round(0.04 * count), recipe.scenes_with_a_crowd.get(split, 0)
    order = rng.permutation(count).tolist()
    is_empty, is_crowd = set(order[:empty]), set(order[empty : empty + crowds])
    rare = _spread_rare(rng, recipe, split, order[empty + crowds :])
    return [
        _draw_scene(
            rng, deck, recipe, is_crowd=number in is_crowd, is_empty=number in is_empty, rare=rare.get(number, [])
        )
        for number in tqdm(range(count)[:first], f"drawing {split}", leave=False, delay=2)
    ]


def _check(recipe: Recipe, split: str) -> None:
    if split not in recipe.images:
        raise ConfigError(f"{recipe.name}: no split {split!r}. It has {', '.join(recipe.images)}.")
    missing = [name for name in recipe.classes if name not in GLYPHS]
    if missing:
        raise ConfigError(f"{recipe.name}: no glyph for the class {missing[0]!r}. Choose from {', '.join(GLYPHS)}.")


def _common_classes(recipe: Recipe, split: str) -> list[str]:
    absent = {*recipe.rare, *(recipe.absent_from_val if split == "val" else [])}
    return [name for name in recipe.classes if name not in absent]


def _spread_rare(rng: np.random.Generator, recipe: Recipe, split: str, scenes: list[int]) -> dict[int, list[str]]:
    """Choose the scenes that get an object of a rare class. In val, rare classes are as frequent as the others."""
    chosen: dict[int, list[str]] = {}
    for name, boxes in recipe.rare.items():
        total = boxes if split == "train" else round(0.35 * recipe.images[split])
        for number in rng.permutation(scenes)[:total].tolist():
            chosen.setdefault(number, []).append(name)
    return chosen


def _draw_scene(
    rng: np.random.Generator, deck: Deck, recipe: Recipe, *, is_crowd: bool, is_empty: bool, rare: list[str]
) -> Scene:
    scene = Scene(draw_background(rng, _draw_size(rng)))
    for name in rare:
        place_smaller(rng, scene, name, pick(rng, GLYPHS[name]), draw_object_sizes(rng, 1, recipe.object_size)[0])
    if is_crowd:
        crowded = [name for name in ("person", "cow", "apple") if name in recipe.classes]
        add_crowd(rng, scene, str(rng.choice(crowded or recipe.classes)))
    low, high = OBJECTS_IN_A_SCENE
    count = 0 if is_empty else int(rng.integers(low, high + 1)) // (3 if is_crowd else 1)
    fill_scene(rng, scene, deck, count, recipe.object_size)
    return scene


def _draw_size(rng: np.random.Generator) -> Size:
    kind = rng.choice(3, p=[0.7, 0.2, 0.1])
    return USUAL_SIZES[kind] if kind < 2 else ODD_SIZES[rng.integers(len(ODD_SIZES))]
