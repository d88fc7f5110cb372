"""A scene: glyphs on a textured background, each with the box and the mask of its visible part."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageEnhance

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size
from coursekit.data.read_images import size_of
from coursekit.data.synthetic.glyphs import CLASS_OF, GLYPHS, NEVER_MIRRORED, draw_glyph, visible_area

Mask = np.ndarray  # (H, W) bool

USUAL_SIZES: list[Size] = [(240, 320), (320, 240)]
ODD_SIZES: list[Size] = [(211, 317), (317, 211), (253, 301), (311, 263)]  # so that swapped axes can't go unnoticed
TRIES = 25


@dataclass
class Thing:
    """A glyph in a scene.

    Attributes:
        name: its class; None for a distractor, which belongs to no class.
        mask: (H, W) bool, where it is visible.
        full_area: pixels it covered before anything was drawn over it.
        is_crowd: whether it is a crowd region.
        may_be_covered: the largest share of `full_area` that later things may hide.
    """

    name: str | None
    mask: Mask
    full_area: int
    is_crowd: bool = False
    may_be_covered: float = 0.1

    @property
    def area(self) -> int:
        """The number of visible pixels."""
        return int(self.mask.sum())

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """The smallest box around the visible pixels: left, top, width, height in pixels."""
        ys, xs = np.nonzero(self.mask)
        return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


@dataclass
class Scene:
    """An RGB picture and the things in it, from back to front."""

    picture: Image.Image
    things: list[Thing] = field(default_factory=list)

    @property
    def size(self) -> Size:
        """The size (height, width) in pixels."""
        return size_of(self.picture)

    @property
    def objects(self) -> list[Thing]:
        """The things that have a class."""
        return [thing for thing in self.things if thing.name is not None]

    def fits(self, shape: Mask) -> bool:
        """Return whether every thing stays visible enough if `shape` is drawn on top."""
        visible = ((thing, int((thing.mask & ~shape).sum())) for thing in self.things)
        return all(area >= (1 - thing.may_be_covered) * thing.full_area for thing, area in visible)

    def add(self, name: str | None, cutout: Image.Image, left: int, top: int, shape: Mask) -> Thing:
        """Draw a cutout on top of the scene. The pixels it covers no longer count as part of the things behind it."""
        self.picture.paste(cutout, (left, top), cutout)
        for thing in self.things:
            thing.mask = thing.mask & ~shape
        thing = Thing(name, shape, int(shape.sum()))
        self.things.append(thing)
        return thing


def draw_background(rng: np.random.Generator, size: Size) -> Image.Image:
    """Draw a mostly gray background: two octaves of soft texture, a little color, a little noise."""
    tint = rng.normal(0, 5, 3)
    pixels = np.full((*size, 3), rng.uniform(95, 190)) + tint
    for cells, strength in ((5, 18), (24, 9)):
        gray = rng.normal(0, 1, (cells, cells, 1)).repeat(3, axis=2) * strength
        pixels += _enlarged(gray + rng.normal(0, 1.5, (cells, cells, 3)), size)
    pixels += rng.normal(0, 5, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _enlarged(texture: np.ndarray, size: Size) -> np.ndarray:
    """Resize a small (h, w, 3) texture smoothly to (H, W, 3)."""
    height, width = size
    layers = [Image.fromarray(texture[..., channel].astype(np.float32)) for channel in range(3)]
    return np.stack([np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) for layer in layers], axis=-1)


def cut_out(rng: np.random.Generator, glyph: str, object_size: float) -> Image.Image:
    """Return an RGBA cutout of a glyph: rotated a little, perhaps mirrored, lighter or darker.

    Args:
        object_size: √(visible area) in pixels.
    """
    picture = draw_glyph(glyph)
    shrink = min(1.0, 2.5 * object_size / max(picture.size))  # rotating a small picture is cheaper
    picture = _scaled(picture, shrink)
    if rng.random() < 0.5 and glyph not in NEVER_MIRRORED:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    scale = object_size / visible_area(picture) ** 0.5
    rgb = ImageEnhance.Brightness(picture.convert("RGB")).enhance(rng.uniform(0.75, 1.1))
    cutout = _scaled(rgb, scale)
    cutout.putalpha(_scaled(picture.getchannel("A"), scale))
    return cutout


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def shape_at(cutout: Image.Image, left: int, top: int, size: Size) -> Mask:
    """Return the (H, W) mask of where a cutout is visible in a scene of this size, with its corner at (left, top)."""
    height, width = size
    canvas = Image.new("L", (width, height))
    canvas.paste(cutout.getchannel("A"), (left, top))
    return np.asarray(canvas) > 127


def place(rng: np.random.Generator, scene: Scene, name: str | None, glyph: str, object_size: float) -> Thing | None:
    """Add a glyph where it hides little of the others and little of it is cut off. Return None if no position works."""
    cutout = cut_out(rng, glyph, object_size)
    height, width = scene.size
    if cutout.width > width or cutout.height > height:
        return None
    for _ in range(TRIES):
        left = int(rng.uniform(-0.1 * cutout.width, width - 0.9 * cutout.width))
        top = int(rng.uniform(-0.1 * cutout.height, height - 0.9 * cutout.height))
        shape = shape_at(cutout, left, top, scene.size)
        if shape.any() and scene.fits(shape):
            return scene.add(name, cutout, left, top, shape)
    return None


def place_smaller(rng: np.random.Generator, scene: Scene, name: str | None, glyph: str, object_size: float) -> None:
    """Call `place` with smaller and smaller sizes until the glyph fits."""
    while object_size > 4 and place(rng, scene, name, glyph, object_size) is None:
        object_size *= 0.85


def hide(
    rng: np.random.Generator, scene: Scene, behind: Thing, name: str | None, glyph: str, object_size: float
) -> Thing | None:
    """Add a glyph that hides between a third and a half of the thing `behind`. Return None if no position works."""
    cutout = cut_out(rng, glyph, object_size)
    angle, wanted = rng.uniform(0, 2 * np.pi), rng.uniform(0.34, 0.5)
    allowed, behind.may_be_covered = behind.may_be_covered, 0.52
    for left, top in _approach(cutout, behind, angle):
        shape = shape_at(cutout, left, top, scene.size)
        covered = 1 - int((behind.mask & ~shape).sum()) / behind.full_area
        mostly_inside = int(shape.sum()) > 0.7 * visible_area(cutout)
        if covered >= wanted and mostly_inside and scene.fits(shape):
            return scene.add(name, cutout, left, top, shape)
    behind.may_be_covered = allowed
    return None


def _approach(cutout: Image.Image, behind: Thing, angle: float) -> list[tuple[int, int]]:
    """Return 24 positions (left, top) of a cutout, from beside the thing `behind` to exactly on top of it."""
    x, y, w, h = behind.xywh
    center_x, center_y = x + w / 2 - cutout.width / 2, y + h / 2 - cutout.height / 2
    reach_x, reach_y = np.cos(angle), np.sin(angle)
    return [
        (
            int(center_x + reach_x * share * (w + cutout.width) / 2),
            int(center_y + reach_y * share * (h + cutout.height) / 2),
        )
        for share in np.linspace(1, 0, 24)
    ]


def add_crowd(rng: np.random.Generator, scene: Scene, name: str) -> None:
    """Add 8 to 20 glyphs of one class under one crowd region, and two more of them as single objects."""
    height, width = scene.size
    glyphs = GLYPHS[name]
    center_x, center_y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
    union = np.zeros((height, width), bool)
    for _ in range(int(rng.integers(8, 21))):
        cutout = cut_out(rng, pick(rng, glyphs), rng.uniform(12, 24))
        left, top = int(rng.normal(center_x, width / 12)), int(rng.normal(center_y, height / 14))
        scene.picture.paste(cutout, (left, top), cutout)
        union |= shape_at(cutout, left, top, scene.size)
    scene.things.append(Thing(name, union, int(union.sum()), is_crowd=True, may_be_covered=0.0))
    for _ in range(2):
        place_smaller(rng, scene, name, pick(rng, glyphs), rng.uniform(14, 30))


def pick(rng: np.random.Generator, glyphs: str) -> str:
    """Return a random character of a string."""
    return glyphs[rng.integers(len(glyphs))]


def scene(glyphs: str, seed: int = 0) -> Scene:
    """Draw a scene on demand: each glyph of a string once, on a background 240 pixels high and 320 wide.

    >>> [thing.name for thing in scene("🐕🚗🍎").objects]
    ['dog', 'car', 'apple']

    Raises:
        ConfigError: the string is empty, or the font lacks one of the glyphs.
    """
    wanted = [glyph for glyph in glyphs if glyph not in " \ufe0f\u200d"]
    if not wanted:
        raise ConfigError("scene: nothing to draw. Pass some emoji, such as 🐕🚗🍎.")
    rng = np.random.default_rng(seed)
    drawn = Scene(draw_background(rng, USUAL_SIZES[0]))
    object_size = float(np.clip(170 / len(wanted) ** 0.5, 16, 90))
    for glyph in wanted:
        try:
            place_smaller(rng, drawn, CLASS_OF.get(glyph), glyph, object_size * rng.uniform(0.7, 1.1))
        except KeyError:
            raise ConfigError(f"scene: the font has no glyph for {glyph!r}. Choose another emoji.") from None
    return drawn
