"""A scene: glyphs on a textured ground, each with the box and the mask of what is visible of it."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageEnhance

from coursekit.core.errors import ConfigError
from coursekit.data.synthetic.glyphs import CLASS_OF, GLYPHS, NEVER_MIRRORED, draw_glyph, visible_area

Mask = np.ndarray  # (H, W) bool
Size = tuple[int, int]  # width, height in pixels

USUAL_SIZES: list[Size] = [(320, 240), (240, 320)]
ODD_SIZES: list[Size] = [(317, 211), (211, 317), (301, 253), (263, 311)]  # swapped axes must not pass unseen
TRIES = 25


@dataclass
class Thing:
    """A glyph in a scene. `name` is its class, or None for a thing of no class; `mask` is what is visible of it."""

    name: str | None
    mask: Mask
    full_area: int
    is_crowd: bool = False
    may_be_covered: float = 0.1  # share of full_area

    @property
    def area(self) -> int:
        """Visible pixels."""
        return int(self.mask.sum())

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """The smallest box around what is visible: left, top, width, height in pixels."""
        ys, xs = np.nonzero(self.mask)
        return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


@dataclass
class Scene:
    """A picture (RGB) and the things in it, from back to front."""

    picture: Image.Image
    things: list[Thing] = field(default_factory=list)

    @property
    def objects(self) -> list[Thing]:
        """The things that have a class."""
        return [thing for thing in self.things if thing.name is not None]

    def fits(self, shape: Mask) -> bool:
        """Whether every thing stays as visible as it must when `shape` is laid over them."""
        hidden = ((thing, int((thing.mask & ~shape).sum())) for thing in self.things)
        return all(left >= (1 - thing.may_be_covered) * thing.full_area for thing, left in hidden)

    def add(self, name: str | None, cutout: Image.Image, left: int, top: int, shape: Mask) -> Thing:
        """Lay a cut-out picture over the scene; what it covers is no longer part of the things behind it."""
        self.picture.paste(cutout, (left, top), cutout)
        for thing in self.things:
            thing.mask = thing.mask & ~shape
        thing = Thing(name, shape, int(shape.sum()))
        self.things.append(thing)
        return thing


def draw_background(rng: np.random.Generator, size: Size) -> Image.Image:
    """A mostly grey ground: two octaves of soft texture, a little colour, a little noise."""
    width, height = size
    tint = rng.normal(0, 5, 3)
    picture = np.full((height, width, 3), rng.uniform(95, 190)) + tint
    for cells, strength in ((5, 18), (24, 9)):
        coarse = rng.normal(0, 1, (cells, cells, 1)).repeat(3, axis=2) * strength + rng.normal(
            0, 1.5, (cells, cells, 3)
        )
        layers = [
            Image.fromarray(coarse[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC) for c in range(3)
        ]
        picture += np.stack([np.asarray(layer) for layer in layers], axis=-1)
    picture += rng.normal(0, 5, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def cut_out(rng: np.random.Generator, glyph: str, object_size: float) -> Image.Image:
    """A glyph with a visible area of object_size² pixels: turned a little, perhaps mirrored, lighter or darker."""
    picture = draw_glyph(glyph)
    shrink = min(1.0, 2.5 * object_size / max(picture.size))  # turning a picture costs by its size
    picture = picture.resize(_scaled(picture.size, shrink), Image.Resampling.LANCZOS)
    if rng.random() < 0.5 and glyph not in NEVER_MIRRORED:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    size = _scaled(picture.size, object_size / visible_area(picture) ** 0.5)
    alpha = picture.getchannel("A").resize(size, Image.Resampling.LANCZOS)
    rgb = ImageEnhance.Brightness(picture.convert("RGB")).enhance(rng.uniform(0.75, 1.1))
    small = rgb.resize(size, Image.Resampling.LANCZOS)
    small.putalpha(alpha)
    return small


def _scaled(size: Size, scale: float) -> Size:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shape_at(cutout: Image.Image, left: int, top: int, size: Size) -> Mask:
    """(H, W) where a cut-out picture is visible when its corner lies at (left, top)."""
    canvas = Image.new("L", size)
    canvas.paste(cutout.getchannel("A"), (left, top))
    return np.asarray(canvas) > 127


def place(rng: np.random.Generator, scene: Scene, name: str | None, glyph: str, object_size: float) -> Thing | None:
    """Add a glyph where it hides little of the others and little of it is cut off. None where no place was found."""
    cutout = cut_out(rng, glyph, object_size)
    width, height = scene.picture.size
    if cutout.width > width or cutout.height > height:
        return None
    for _ in range(TRIES):
        left = int(rng.uniform(-0.1 * cutout.width, width - 0.9 * cutout.width))
        top = int(rng.uniform(-0.1 * cutout.height, height - 0.9 * cutout.height))
        shape = shape_at(cutout, left, top, scene.picture.size)
        if shape.any() and scene.fits(shape):
            return scene.add(name, cutout, left, top, shape)
    return None


def place_somehow(rng: np.random.Generator, scene: Scene, name: str | None, glyph: str, object_size: float) -> None:
    """`place`, smaller and smaller until it fits."""
    while object_size > 4 and place(rng, scene, name, glyph, object_size) is None:
        object_size *= 0.85


def hide(
    rng: np.random.Generator, scene: Scene, behind: Thing, name: str | None, glyph: str, object_size: float
) -> Thing | None:
    """Add a glyph so that it hides between a third and a half of the thing `behind`, coming in from one side."""
    cutout = cut_out(rng, glyph, object_size)
    x, y, w, h = behind.xywh
    angle, wanted = rng.uniform(0, 2 * np.pi), rng.uniform(0.34, 0.5)
    allowed, behind.may_be_covered = behind.may_be_covered, 0.52
    for share in np.linspace(1, 0, 24):  # from touching to on top
        left = int(x + w / 2 - cutout.width / 2 + np.cos(angle) * share * (w + cutout.width) / 2)
        top = int(y + h / 2 - cutout.height / 2 + np.sin(angle) * share * (h + cutout.height) / 2)
        shape = shape_at(cutout, left, top, scene.picture.size)
        covered = 1 - int((behind.mask & ~shape).sum()) / behind.full_area
        whole = int(shape.sum()) > 0.7 * visible_area(cutout)
        if covered >= wanted and whole and scene.fits(shape):
            return scene.add(name, cutout, left, top, shape)
    behind.may_be_covered = allowed
    return None


def add_crowd(rng: np.random.Generator, scene: Scene, name: str) -> None:
    """8 to 20 of one class under one crowd region, and two of them counted singly beside it."""
    width, height = scene.picture.size
    glyphs = GLYPHS[name]
    centre_x, centre_y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
    union = np.zeros((height, width), bool)
    for _ in range(int(rng.integers(8, 21))):
        cutout = cut_out(rng, pick(rng, glyphs), rng.uniform(12, 24))
        left, top = int(rng.normal(centre_x, width / 12)), int(rng.normal(centre_y, height / 14))
        scene.picture.paste(cutout, (left, top), cutout)
        union |= shape_at(cutout, left, top, scene.picture.size)
    scene.things.append(Thing(name, union, int(union.sum()), is_crowd=True, may_be_covered=0.0))
    for _ in range(2):
        place_somehow(rng, scene, name, pick(rng, glyphs), rng.uniform(14, 30))


def pick(rng: np.random.Generator, glyphs: str) -> str:
    """One of the characters."""
    return glyphs[rng.integers(len(glyphs))]


def scene(glyphs: str, seed: int = 0) -> Scene:
    """One scene drawn on demand: each glyph of a string once, on a ground of 320 × 240 pixels.

    >>> [thing.name for thing in scene("🐕🚗🍎").objects]
    ['dog', 'car', 'apple']

    Raises:
        ConfigError: nothing to draw, or the font has no such glyph.
    """
    wanted = [glyph for glyph in glyphs if glyph not in " \ufe0f\u200d"]
    if not wanted:
        raise ConfigError("scene: nothing to draw. Give it some emoji, such as 🐕🚗🍎.")
    rng = np.random.default_rng(seed)
    drawn = Scene(draw_background(rng, USUAL_SIZES[0]))
    usual = float(np.clip(170 / len(wanted) ** 0.5, 16, 90))
    for glyph in wanted:
        try:
            place_somehow(rng, drawn, CLASS_OF.get(glyph), glyph, usual * rng.uniform(0.7, 1.1))
        except KeyError:
            raise ConfigError(f"scene: the font has no glyph for {glyph!r}. Take another.") from None
    return drawn
