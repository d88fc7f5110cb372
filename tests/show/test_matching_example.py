import numpy as np

from coursekit.show.matching_example import detections_and_objects_picture
from tests.show.pictures import all_texts, is_drawn


def test_objects_crowds_and_detections_look_different(tmp_path):
    objects, is_crowd = np.array([[10.0, 10, 40, 40], [110, 8, 80, 50]]), np.array([False, True])
    fig, alt = detections_and_objects_picture(np.array([[14.0, 12, 40, 40]]), np.array([0.9]), objects, is_crowd)
    axes = fig.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["object", "crowd", "detection"]
    assert [patch.get_hatch() for patch in axes.patches] == [None, "//", None]
    assert len({patch.get_linestyle() for patch in axes.patches}) == 2
    assert all_texts(axes) == {"0: 0.90"}
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # y goes down, as in images
    assert alt == "1 objects, 1 crowd and 1 detections: 0 from x 14 to 54."
    assert is_drawn(fig, tmp_path / "matching.png")
