"""Okabe and Ito's colors, which color-blind people can tell apart."""

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
_CYCLE = [SKY, ORANGE, GREEN, YELLOW, PURPLE, VERMILION, BLUE]


def color_of(text: str) -> str:
    """Return the color of a class, given its name alone or followed by a score."""
    name = text.rsplit(" ", 1)[0] if text[-1:].isdigit() else text
    return _CYCLE[sum(name.encode()) % len(_CYCLE)]
