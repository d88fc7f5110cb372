import numpy as np
from PIL import Image

from coursekit.show.boxes_in_pixels import draw_on


def test_the_input_is_not_changed_and_the_box_is_drawn_along_its_edges():
    picture = Image.new("RGB", (200, 100), "white")
    drawn = draw_on(picture, [(50, 40, 150, 90)], ["dog 0.93"])
    assert np.all(np.asarray(picture) == 255)
    changed = np.argwhere((np.asarray(drawn) != 255).any(2))
    assert changed[:, 0].max() <= 92  # rows: nothing below the box
    assert (np.asarray(drawn)[60:80, 70:130] == 255).all()  # the inside is unchanged
    assert (np.asarray(drawn)[60, 48:54] != 255).any()


def test_empty_boxes_and_boxes_at_the_edge_are_no_error():
    picture = Image.new("RGB", (20, 20))
    draw_on(picture, [(0, 0, 20, 20), (5, 5, 5, 5), (19, 19, 20, 20)], ["a long name of a class 0.10", "b 1.00", "c"])
