import pytest
import torch

from coursekit.data.padded_images import LARGEST_CANVAS, PaddedImages, canvas_size, pad_images


def _images(*sizes):
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=draw) for size in sizes]


def test_padding_changes_no_pixel():
    images = _images((40, 70), (40, 33), (32, 64))
    padded = pad_images(images)
    assert padded.canvas.shape == (3, 64, 96, 3)
    assert all(torch.equal(a, b) for a, b in zip(padded, images, strict=True))
    assert pad_images(padded) is padded


def test_a_part_of_a_batch_is_a_view_of_its_canvas():
    images = _images((40, 70), (40, 33), (32, 64))
    padded = pad_images(images)
    part = padded[1:]
    assert isinstance(part, PaddedImages)
    assert part.canvas.data_ptr() == padded.canvas[1:].data_ptr()
    assert torch.equal(part[0], images[1])
    assert torch.equal(part[-1], images[2])
    with pytest.raises(IndexError):
        part[2]


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [
        ([(1, 1)], (32, 32)),
        ([(480, 640), (640, 480)], (640, 640)),  # a third more than the images
        ([(32, 640), (640, 32)], None),  # twenty times as much
        ([(32, 32), (64, 64)], (64, 64)),  # 1.6 times as much
        ([(32, 32)] * 3 + [(64, 64)], None),  # 2.3 times as much
        ([(4000, 5600)], None),
        ([], None),
    ],
)
def test_a_canvas_that_would_be_mostly_padding_is_not_used(sizes, canvas):
    assert canvas_size(sizes) == canvas


def test_images_too_large_for_a_canvas_stay_as_they_are():
    images = [torch.empty(3, 1, 1, dtype=torch.uint8).expand(3, 4000, 5600)]
    assert images[0].numel() > LARGEST_CANVAS
    assert pad_images(images) is images
