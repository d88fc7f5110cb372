import torch

from coursekit.show.levels import explore_levels, level_picture

IMAGE = torch.full((3, 240, 320), 128, dtype=torch.uint8)
BOXES = torch.tensor([[0.0, 0, 20, 20], [30.0, 30, 100, 100], [10.0, 10, 200, 200]])


def test_each_box_is_on_the_level_that_it_reads_from():
    fig, alt = level_picture(IMAGE, BOXES)
    assert [len(axes.patches) for axes in fig.axes] == [1, 1, 1]
    assert alt.endswith("level 3: 1 box, level 4: 1 box, level 5: 1 box.")


def test_a_large_canonical_scale_sends_boxes_to_finer_levels():
    fig, _ = level_picture(IMAGE, BOXES, 224)
    assert [len(axes.patches) for axes in fig.axes] == [3, 0, 0]


def test_there_may_be_no_box_and_only_one_level():
    fig, alt = level_picture(IMAGE, BOXES[:0], 64, 4, 4)
    assert [len(axes.patches) for axes in fig.axes] == [0]
    assert "level 4: 0 boxes" in alt


def test_a_slider_redraws_with_the_given_function():
    seen = []

    def all_on_three(boxes, finest, coarsest, canonical_scale):
        seen.append(canonical_scale)
        return torch.full((len(boxes),), 3)

    box = explore_levels(IMAGE, BOXES, level_for_box=all_on_three)
    slider, picture = box.children
    before = picture.value
    slider.value = 128
    assert seen == [64, 128]
    assert picture.value != before
