import torch

from coursekit.show.misplaced_boxes import misplaced_boxes_picture
from tests.show.pictures import is_drawn

IMAGE = torch.randint(0, 255, (3, 60, 80), dtype=torch.uint8)


def test_boxes_outside_of_the_image_are_in_the_picture(tmp_path):
    boxes = {"corners": torch.tensor([[10.0, 10, 120, 90]]), "shares": torch.tensor([[0.1, 0.1, 0.5, 0.5]])}
    fig, alt = misplaced_boxes_picture(IMAGE, boxes, ["dog"])
    assert [axes.get_title() for axes in fig.axes] == ["corners", "shares"]
    assert all(axes.get_xlim()[1] > 120 and axes.get_ylim()[0] > 90 for axes in fig.axes)
    assert "corners: 1 of 1 reach out of the image" in alt
    assert "shares: 0 of 1 reach out of the image, the median side is 0 pixels" in alt
    assert is_drawn(fig, tmp_path / "misplaced.png")


def test_an_odd_number_of_faults_and_an_image_without_boxes():
    fig, alt = misplaced_boxes_picture(IMAGE, dict.fromkeys("abc", torch.empty(0, 4)), [])
    assert len(fig.axes) == 4
    assert not fig.axes[3].axison
    assert "c: no boxes" in alt
