import torch

from coursekit.show.feature_maps import cell_views_picture, explore_channels, feature_maps_picture, stride_of
from tests.show.pictures import is_drawn

SCENE = torch.zeros(3, 48, 64, dtype=torch.uint8)
MAPS = [torch.rand(16, 24, 32), torch.rand(40, 12, 16), torch.rand(320, 2, 2)]


def test_each_map_is_shown_with_its_stride_and_size(tmp_path):
    fig, alt = feature_maps_picture(SCENE, MAPS)
    assert [stride_of(SCENE, features) for features in MAPS] == [2, 4, 32]
    assert "stride 2: 16 channels of 24 × 32; stride 4: 40 channels of 12 × 16; stride 32: 320 channels of 2 × 2" in alt
    assert [len(axes.images) for axes in fig.axes] == [1, 1, 1, 1, 0, 0]
    assert is_drawn(fig, tmp_path / "maps.png")


def test_a_map_is_the_mean_strength_of_its_channels():
    features = torch.tensor([1.0, -3.0])[:, None, None].expand(2, 6, 8)
    fig, _ = feature_maps_picture(SCENE, [features])
    assert fig.axes[1].images[0].get_array().mean() == 2


def test_sliders_choose_stride_and_channel():
    stride, channel, picture = explore_channels(SCENE, MAPS).children
    assert (stride.options, stride.value) == ((2, 4, 32), 2)
    assert "stride 2, channel 3 of 16" in picture.value
    channel.value = 20
    assert "stride 2, channel 4 of 16" in picture.value
    stride.value = 4
    assert "stride 4, channel 20 of 40" in picture.value


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
