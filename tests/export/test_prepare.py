import pytest
import torch

from coursekit.detector import nms
from coursekit.detector.backbone import IMAGENET_MEAN, IMAGENET_STD
from coursekit.detector.resize import resize_boxes, to_batch
from coursekit.export.prepare import nms_padded, prepare_image, restore_boxes
from coursekit.lessons.case_inputs import clusters
from coursekit.lessons.fixed_shapes import in_graph

SIZES = [(240, 320), (320, 240), (333, 500), (31, 700), (128, 128), (217, 99), (3, 2000), (49, 49), (98, 49), (1, 1)]


def _noise(size):
    return torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("side", [64, 128, 320])
@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_prepared_as_in_training(size, side):
    image = _noise(size)
    expected, [inside] = to_batch([image / 255], side, side, IMAGENET_MEAN, IMAGENET_STD, pad_to=(side, side))
    batch, scale = prepare_image(image, (side, side))
    assert torch.equal(batch, expected)
    assert inside == tuple(round(pixels * factor) for pixels, factor in zip(size, scale, strict=True))


def test_a_size_that_is_no_multiple_of_32_has_no_further_padding():
    batch, _ = prepare_image(_noise((60, 100)), (100, 100))
    assert batch.shape == (1, 3, 100, 100)
    assert batch[:, :, 60:].eq(0).all()


def test_sides_are_rounded_down_in_float64():
    assert prepare_image(_noise((392, 392)), (256, 256))[1] == (255 / 392, 255 / 392)


def test_another_mean_and_standard_deviation():
    batch, _ = prepare_image(_noise((8, 8)), (8, 8), mean=(0, 0, 0), std=(1 / 255,) * 3)
    torch.testing.assert_close(batch[0], _noise((8, 8)).float())


@pytest.mark.parametrize("size", SIZES)
def test_boxes_come_back_to_where_the_detector_puts_them(size):
    inside = to_batch([_noise(size) / 255], 128, 128, IMAGENET_MEAN, IMAGENET_STD)[1][0]
    _, scale = prepare_image(_noise(size), (128, 128))
    boxes = torch.tensor([[0.0, 0, inside[1], inside[0]], [0.25 * inside[1], 0, 0.5 * inside[1], 0.75 * inside[0]]])
    torch.testing.assert_close(restore_boxes(boxes, scale, size), resize_boxes(boxes, inside, size))


def test_boxes_in_the_padding_are_clipped():
    boxes = torch.tensor([[-4.0, -4, 60, 60], [50, 50, 60, 60]], dtype=torch.float64)
    restored = restore_boxes(boxes, (0.5, 0.5), (40, 90))
    assert restored.tolist() == [[0, 0, 90, 40], [90, 40, 90, 40]]
    assert restored.dtype == torch.float64


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_the_fixed_length_keeps_what_nms_keeps(threshold):
    generator = torch.Generator().manual_seed(0)
    for objects, each in ((1, 1), (4, 5), (20, 3)):
        boxes, scores = clusters(generator, objects, each)
        scores = (scores * 10).round() / 10  # with ties
        kept, padded = nms(boxes, scores, threshold), nms_padded(boxes, scores, threshold, 30)
        assert padded[padded >= 0].tolist() == kept[:30].tolist()
        assert (padded[len(kept) :] == -1).all()


def test_no_shape_in_it_depends_on_the_numbers():
    boxes, scores = clusters(torch.Generator().manual_seed(0), 3, 4)
    assert "(7,) of int64" in in_graph(lambda *tensors: nms_padded(*tensors, 0.5, 7), boxes, scores)
