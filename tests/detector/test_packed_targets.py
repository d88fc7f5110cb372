import pytest
import torch

from coursekit.core.device import as_on_gpu
from coursekit.data.padded_images import pad_images
from coursekit.detector import build_detector
from coursekit.detector.packed_targets import pack_targets
from coursekit.detector.padded_boxes import pad_targets
from coursekit.detector.resize import resize_targets

SIZES = [(64, 48), (30, 64), (100, 90)]


def _targets():
    boxes = torch.tensor([[1.25, 2.5, 30.0, 29.0], [3.0, 4.0, 17.3, 9.1]])
    labels = torch.tensor([3, 1])
    counts = (2, 0, 1)
    return [{"boxes": boxes[:n], "labels": labels[:n], "image_id": n} for n in counts]


def test_nothing_is_lost_on_the_way():
    seeds = [0, 2**32 - 1, 123_456_789]
    packed = pack_targets(_targets(), SIZES, seeds, 64, 64)
    images = [torch.empty(3, *size) for size in SIZES]
    resized = [(64, 48), (30, 64), (64, 57)]
    expected = pad_targets(resize_targets(_targets(), images, resized))
    assert torch.equal(packed.ground_truth.boxes, expected.boxes)
    assert torch.equal(packed.ground_truth.labels, expected.labels)
    assert packed.seeds.tolist() == seeds
    assert packed.sizes.tolist() == [list(size) for size in resized]
    assert packed[1:].seeds.tolist() == seeds[1:]


@pytest.mark.parametrize("sizes", [[(64, 64)] * 3, SIZES])
def test_the_detector_gives_the_same_losses_for_packed_targets(sizes):
    torch.manual_seed(0)
    model = build_detector(num_classes=4, size=64, channels=16, hidden=16, pretrained=False).train()
    images, seeds = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes], [4, 5, 6]
    expected = model([image / 255 for image in images], _targets(), seeds=seeds)
    packed = pack_targets(_targets(), sizes, seeds, 64, 64)
    losses = model(pad_images(images), packed)
    with as_on_gpu():
        on_gpu = model(pad_images(images), packed)
    for name, loss in expected.items():
        assert losses[name] == loss
        assert on_gpu[name].item() == pytest.approx(loss.item(), rel=1e-5)
