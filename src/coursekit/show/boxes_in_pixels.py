"""Boxes drawn into an image itself, at its own size."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from coursekit.show.colors import color_of

Box = Sequence[float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_on(picture: Image.Image, boxes: Sequence[Box], texts: Sequence[str]) -> Image.Image:
    """Return a copy of an RGB picture with boxes and their texts; lines and letters grow with the picture.

    Args:
        picture: picture of any size.
        boxes: xyxy in its pixels, best first: the best is drawn last, on top.
        texts: one for each box, such as "dog 0.93"; boxes of the same class share a color.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    unit = max(1, round(max(picture.size) / 400))
    font = ImageFont.load_default(max(10, 7 * unit))
    for box, text in reversed(list(zip(boxes, texts, strict=True))):
        corners = (box[0], box[1], max(box[0], box[2]), max(box[1], box[3]))
        pen.rectangle(corners, outline="black", width=3 * unit)
        pen.rectangle(corners, outline=color_of(text), width=2 * unit)
    for box, text in reversed(list(zip(boxes, texts, strict=True))):
        _write(pen, text, box, picture.width, font, unit)
    return drawn


def _write(pen: ImageDraw.ImageDraw, text: str, box: Box, picture_width: int, font: Font, unit: int) -> None:
    """Write above the box if there is room, else inside it; never beyond the picture's right edge."""
    _, _, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right + 2 * unit, bottom + 2 * unit
    x = max(0.0, min(box[0], picture_width - width))
    y = box[1] - height if box[1] >= height else box[1]
    pen.rectangle((x, y, x + width, y + height), fill="#222222", outline=color_of(text))
    pen.text((x + unit, y + unit), text, fill="white", font=font)
