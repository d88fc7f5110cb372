"""Resizing images and boxes into a batch and back, against torchvision's GeneralizedRCNNTransform."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.models.detection import transform

from coursekit.core.device import as_on_gpu
from coursekit.data.padded_images import pad_images, padded_side
from coursekit.detector import resize

quick = settings(max_examples=40, deadline=None, derandomize=True)
sides = st.tuples(st.integers(20, 90), st.integers(20, 90))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _batch(images, min_size, max_size):
    return resize.to_batch(images, min_size, max_size, MEAN, STD)


def _images(sizes, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator).to(dtype) for size in sizes]


@quick
@given(st.lists(sides, min_size=1, max_size=3), st.integers(30, 70), st.integers(64, 100), st.integers(0, 99))
def test_batches_and_boxes_are_torchvisions(sizes, min_size, max_size, seed):
    images = _images(sizes, seed)
    boxes = [10 * torch.rand(seed % 4, 4, generator=torch.Generator().manual_seed(seed)) for _ in sizes]
    targets = [{"boxes": gt, "labels": torch.ones(len(gt), dtype=torch.int64)} for gt in boxes]
    theirs, their_targets = transform.GeneralizedRCNNTransform(min_size, max_size, MEAN, STD)(images, targets)
    batch, resized = _batch(images, min_size, max_size)
    torch.testing.assert_close(batch, theirs.tensors)
    assert resized == [tuple(size) for size in theirs.image_sizes]
    ours = resize.resize_targets(targets, images, resized)
    for our_target, their_target, target in zip(ours, their_targets, targets, strict=True):
        torch.testing.assert_close(our_target["boxes"], their_target["boxes"])
        assert torch.equal(our_target["labels"], target["labels"])


@settings(quick, max_examples=300)
@given(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), st.integers(1, 1500), st.integers(1, 1500))
def test_the_size_after_resizing_is_torchvisions(size, min_size, max_size):
    scale = min(min_size / min(size), max_size / max(size))
    height, width = resize.resized_size(size, min_size, max_size)
    assert height > 0
    assert width > 0
    assume(min(size) * scale >= 1)  # else torchvision would leave nothing of a line of pixels, and raises an error
    line, column = torch.zeros(1, 1, size[1]), torch.zeros(1, 1, size[0])  # each axis by itself: a whole image is slow
    for pixels, expected in ((line, width), (column, height)):
        resized = F.interpolate(pixels, scale_factor=scale, mode="linear", recompute_scale_factor=True)
        assert resized.shape[-1] == expected


@pytest.mark.parametrize("size", [(40, 60), (333, 201), (64, 64), (97, 640)])
def test_an_image_gets_that_size_and_torchvisions_pixels(size):
    image = _images([size])[0]
    theirs, _ = transform._resize_image_and_masks(image, 48, 80)
    resized = resize.resize_image(image, 48, 80)
    assert resize.size_of(resized) == resize.resized_size(size, 48, 80)
    assert torch.equal(resized, theirs)


@quick
@given(st.lists(sides, min_size=1, max_size=3), st.integers(64, 130))
def test_if_both_limits_are_equal_the_long_side_becomes_that(sizes, max_size):
    _, resized = _batch(_images(sizes), max_size, max_size)
    for before, after in zip(sizes, resized, strict=True):
        assert max(after) in (max_size - 1, max_size)  # a pixel less by rounding
        assert min(after) == pytest.approx(max_size * min(before) / max(before), abs=1.001)


def test_padding_is_zero_and_on_the_right_and_at_the_bottom():
    batch, sizes = _batch(_images([(40, 60), (64, 33)]), 64, 64)
    assert batch.shape == (2, 3, 64, 64)
    assert sizes == [(42, 64), (64, 33)]
    assert not batch[0, :, 42:].any()
    assert not batch[1, :, :, 33:].any()
    assert batch[0, :, :42].all()
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("pad_to", "padded"), [((0, 0), (64, 64)), ((65, 40), (96, 64)), ((64, 97), (64, 128))])
def test_a_batch_is_at_least_as_large_as_pad_to(pad_to, padded):
    batch, sizes = resize.to_batch(_images([(40, 60)]), 64, 64, MEAN, STD, pad_to)
    assert batch.shape == (1, 3, *padded)
    torch.testing.assert_close(batch[:, :, :64, :64], _batch(_images([(40, 60)]), 64, 64)[0])
    assert sizes == [(42, 64)]


def test_an_image_that_fits_is_only_normalized():
    image = torch.tensor(MEAN).view(3, 1, 1) + torch.tensor(STD).view(3, 1, 1) * torch.arange(4096.0).view(1, 64, 64)
    batch, _ = _batch([image], 64, 64)
    torch.testing.assert_close(batch[0], torch.arange(4096.0).view(1, 64, 64).expand(3, -1, -1), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_batch_has_the_dtype_of_the_images(dtype):
    batch, sizes = _batch(_images([(40, 60)], dtype=dtype), 64, 64)
    assert batch.dtype == dtype
    expected, expected_sizes = _batch(_images([(40, 60)]), 64, 64)
    assert sizes == expected_sizes
    torch.testing.assert_close(batch.float(), expected, rtol=0.05, atol=0.05)


@quick
@given(sides, sides, st.integers(0, 9))
def test_boxes_are_torchvisions_and_can_be_resized_back(before, after, count):
    boxes = 90 * torch.rand(count, 4, generator=torch.Generator().manual_seed(count))
    resized = resize.resize_boxes(boxes, before, after)
    torch.testing.assert_close(resized, transform.resize_boxes(boxes, list(before), list(after)))
    torch.testing.assert_close(resize.resize_boxes(resized, after, before), boxes)


def test_width_scales_x_and_height_scales_y():
    assert resize.resize_boxes(torch.tensor([[1.0, 2, 3, 4]]), (10, 10), (20, 50)).tolist() == [[5.0, 4, 15, 8]]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (3, 5000)])
def test_a_very_elongated_image_keeps_a_side_of_one_pixel(size):
    image = _images([size])[0]
    batch, resized = _batch([image], 320, 320)
    assert min(resized[0]) == 1
    assert batch.shape[-2:] == tuple(map(padded_side, resized[0]))
    boxes = resize.resize_boxes(torch.tensor([[0.0, 0.0, size[1], size[0]]]), size, resized[0])
    assert boxes.tolist() == [[0, 0, resized[0][1], resized[0][0]]]


@pytest.mark.parametrize("way", [nullcontext, as_on_gpu])
@pytest.mark.parametrize("sizes", [[(64, 64)], [(48, 64), (64, 40), (64, 64)], [(64, 48), (30, 64), (100, 90)]])
@pytest.mark.parametrize("pad_to", [(0, 0), (70, 96)])
def test_images_on_a_canvas_give_the_same_batch(sizes, pad_to, way):
    """Bit for bit, also where some are resized, and where the canvas has more padding than the batch."""
    images = [(255 * image).to(torch.uint8) for image in _images(sizes)]
    expected, expected_sizes = resize.to_batch([image / 255 for image in images], 64, 64, MEAN, STD, pad_to)
    padded = pad_images([*images, torch.full((3, 90, 90), 200, dtype=torch.uint8)])[: len(images)]
    with way():
        batch, resized = resize.to_batch(padded, 64, 64, MEAN, STD, pad_to)
    assert torch.equal(batch, expected)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert resized == expected_sizes
