"""Labels of boxes that don't cover each other."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

NAME = "name of a box"  # what `spread` looks for in a text's gid
_ROWS = (0, -1, 1, -2, 2, -3, 3, -4, 4)  # where a label may go: rows below (-) or above its usual place


def spread(fig: Figure) -> None:
    """Move labels of boxes up or down until they don't cover each other, if there is a free row nearby.

    Those drawn last stay where they are: they belong to the boxes on top.
    """
    labels = {axes: [text for text in axes.texts if text.get_gid() == NAME] for axes in fig.axes}
    if any(len(texts) > 1 for texts in labels.values()):
        fig.draw_without_rendering()  # so that the layout is known
        for axes, texts in labels.items():
            _spread(axes, texts[::-1])


def _spread(axes: Axes, texts: list[Text]) -> None:
    placed: list[Bbox] = []
    for text in texts:
        usual = _extent(text)
        choices = [usual.translated(0, row * usual.height) for row in _ROWS]
        free = (choice for choice in choices if not any(_overlap(choice, other) for other in placed))
        chosen = next(free, usual)
        placed.append(chosen)
        x, y = axes.transData.transform(text.get_position())
        text.set_position(tuple(axes.transData.inverted().transform((x, y + chosen.y0 - usual.y0))))


def _extent(text: Text) -> Bbox:
    """Return where a label is, its frame included, in pixels of the figure."""
    patch = text.get_bbox_patch()
    return text.get_window_extent() if patch is None else patch.get_window_extent()


def _overlap(first: Bbox, second: Bbox) -> bool:
    """Return whether two labels share more than their frames' lines."""
    shared = Bbox.intersection(first, second)
    return shared is not None and shared.width > 1 and shared.height > 1
