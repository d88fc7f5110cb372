import torch

from coursekit.show.patches import patches_picture

IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
BOXES = torch.tensor([[0.0, 0, 20, 20], [40, 30, 60, 50]])


def test_each_box_has_a_patch_of_each_size():
    IMAGE[:, 30:50, 40:60] = 200  # the second box is bright
    fig, alt = patches_picture(IMAGE, BOXES, ["dog", "$cat$"], (14, 7))
    _, *squares = fig.axes
    shapes = [axes.images[0].get_array().shape for axes in squares]
    assert shapes == [(14, 14, 3), (14, 14, 3), (7, 7, 3), (7, 7, 3)]
    assert [axes.images[0].get_array().mean() > 0.3 for axes in squares] == [False, True, False, True]
    assert squares[0].get_title() == "A: dog\n14 × 14"
    assert squares[3].get_title() == "7 × 7"
    assert alt == "A scene with 2 boxes (dog, $cat$); the content of each as a square of 14 × 14 and of 7 × 7."
