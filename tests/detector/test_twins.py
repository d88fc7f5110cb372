"""The whole detector, batched and image by image: the same losses, gradients and detections."""

import copy
from contextlib import nullcontext

import pytest
import torch

from coursekit.core.device import as_on_gpu
from coursekit.detector import batched_or_per_image, build_detector
from coursekit.detector.anchors import BACKGROUND
from coursekit.detector.choose_parts import choose_parts

SIZES = [(64, 96), (60, 96), (96, 52), (25, 96)]  # (height, width) in pixels
COUNTS = {
    "one image": [3],
    "one without objects": [0],
    "two without objects": [0, 0],
    "three": [2, 0, 5],
    "eight, one with hundreds": [1, 0, 7, 2, 300, 3, 0, 40],
}
CLASSES = 5
SEEDS = [77, 5, 2**32 - 1, 0, 12, 3, 4, 99]


@pytest.fixture(params=["by device", "as on a GPU"])
def path(request):
    with as_on_gpu() if request.param == "as on a GPU" else nullcontext():
        yield


@pytest.fixture(params=COUNTS.values(), ids=COUNTS)
def counts(request):
    return request.param


@pytest.fixture(scope="module")
def batched():
    """A detector whose scores and boxes vary, in float64: in float32, rounding could change what NMS keeps."""
    torch.manual_seed(0)
    detector = build_detector(num_classes=CLASSES, size=96, channels=16, hidden=16, pretrained=False)
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.startswith(("rpn_head", "box_head")):
                parameter.copy_(torch.randn_like(parameter) * (2 / parameter[0].numel()) ** 0.5)
    return detector.double()


@pytest.fixture
def image_by_image(batched, counts, monkeypatch):
    """The same detector with the functions of the lessons, which sample what the twins sample."""
    detector = copy.deepcopy(batched)
    detector.dense = detector._dense
    detector.parts = choose_parts({"sample_balanced": lambda *args, **kwargs: _lowest_keys(*args, **kwargs)})
    detector.stages = batched_or_per_image.choose_stages(detector.parts, batched_or_per_image.TWINS)
    generators = lambda keys, column: [(row, column, count) for row, count in zip(keys, counts, strict=True)]  # noqa: E731
    monkeypatch.setattr(batched_or_per_image, "_generators", generators)
    return detector


def _lowest_keys(matches, batch_size, fraction, generator):
    """Sample what the twins sample. `generator` has the keys, where those of ground truth begin, and how many."""
    keys, start, gt = generator
    if start:  # RoIs
        keys = torch.cat([keys[: len(matches) - gt], keys[start : start + gt]])
    order = keys.argsort()
    positives = order[matches[order] >= 0][: int(batch_size * fraction)]
    return positives, order[matches[order] == BACKGROUND][: batch_size - len(positives)]


def _batch(counts):
    generator = torch.Generator().manual_seed(len(counts))
    images, targets = [], []
    for image, count in enumerate(counts):
        height, width = SIZES[image % len(SIZES)]
        images.append(torch.rand(3, height, width, generator=generator, dtype=torch.float64))
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * torch.tensor(
            [width - 20, height - 20]
        )
        side = 4 + 16 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
        labels = torch.randint(1, CLASSES + 1, (count,), generator=generator)
        targets.append({"boxes": torch.cat([corner, corner + side], 1), "labels": labels})
    return images, targets


def _losses_and_gradients(detector, images, targets):
    detector.train().zero_grad()
    losses = detector(images, targets, seeds=SEEDS[: len(images)])
    sum(losses.values()).backward()
    gradients = {name: p.grad.clone() for name, p in detector.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in losses.items()}, gradients


def test_twins_have_the_losses_and_gradients_of_the_originals(batched, image_by_image, counts, path):
    batch = _batch(counts)
    losses, gradients = _losses_and_gradients(batched, *batch)
    expected_losses, expected_gradients = _losses_and_gradients(image_by_image, *batch)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-6, atol=1e-12)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        difference, size = (gradient - expected_gradients[name]).norm(), expected_gradients[name].norm()
        assert difference <= 1e-6 * size + 1e-12, name


def test_twins_have_the_detections_of_the_originals(batched, image_by_image, counts, path):
    images, _ = _batch(counts)
    with torch.inference_mode():
        found, expected = batched.eval()(images), image_by_image.eval()(images)
    assert sum(len(detections["boxes"]) for detections in expected) >= 10 * len(images)  # else it shows nothing
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_twins_have_losses_that_do_not_depend_on_the_batch(batched, path):
    """The sample of an image depends on its seed alone, whatever the other images are."""
    images, targets = _batch([2, 0, 40])
    with torch.no_grad():
        alone = [
            batched.train()([image], [target], seeds=[seed], pad_to=(96, 96))
            for image, target, seed in zip(images, targets, SEEDS, strict=False)
        ]
        together = batched(images, targets, seeds=SEEDS[:3], pad_to=(96, 96))
    for name, loss in together.items():
        torch.testing.assert_close(loss, sum(losses[name] for losses in alone) / 3, rtol=1e-6, atol=1e-12)
