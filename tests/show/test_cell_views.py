import torch

from coursekit.show.cell_views import cell_views_picture
from tests.show.pictures import is_drawn


def test_the_frame_is_around_all_that_the_cell_sees(tmp_path):
    gradient = torch.zeros(48, 64)
    gradient[10:30, 20:60] = 1
    fig, alt = cell_views_picture(
        torch.zeros(3, 48, 64, dtype=torch.uint8), {"stride 8": gradient, "whole": torch.ones(48, 64)}
    )
    frames = [axes.patches[0] for axes in fig.axes]
    assert [(box.get_x(), box.get_y(), box.get_width(), box.get_height()) for box in frames] == [
        (20, 10, 40, 20), (0, 0, 64, 48)
    ]  # fmt: skip
    assert "stride 8: the frame is 40 × 20 pixels; whole: the frame is 64 × 48 pixels." in alt
    assert is_drawn(fig, tmp_path / "views.png")
