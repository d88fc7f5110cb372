"""The batched twins give what the per-image functions give."""

from contextlib import nullcontext

import pytest
import torch

from coursekit.core.device import as_on_gpu
from coursekit.detector import anchors, batch_matching, batch_nms, batched, roi, rpn
from coursekit.detector.batch_matching import GT_ID, PROPOSAL_ID, anchor_ids, random_keys, scramble
from coursekit.detector.padded_boxes import pad_boxes, pad_targets

GRIDS, STRIDES, SIZE = [(12, 16), (6, 8), (3, 4)], [8, 16, 32], (96, 128)
CLASSES = 5
COUNTS = {"one image": [3], "two, one empty": [0, 4], "all empty": [0, 0], "eight": [1, 0, 7, 2, 300, 3, 0, 40]}


@pytest.fixture(params=["by device", "as on a GPU"])
def path(request):
    with as_on_gpu() if request.param == "as on a GPU" else nullcontext():
        yield


@pytest.fixture(params=COUNTS.values(), ids=COUNTS)
def batch(request):
    """Random predictions and ground truth for images with these numbers of objects."""
    torch.manual_seed(len(request.param))
    return Batch(request.param)


class Batch:
    def __init__(self, counts):
        self.anchors = [
            anchors.make_anchors(grid, (stride, stride), [1.5 * stride, 3 * stride], [0.5, 1.0, 2.0])
            for grid, stride in zip(GRIDS, STRIDES, strict=True)
        ]
        self.level_sizes = [len(of_level) for of_level in self.anchors]
        self.anchors = torch.cat(self.anchors)
        images, number = len(counts), len(self.anchors)
        self.logits, self.deltas = torch.randn(images, number), 0.3 * torch.randn(images, number, 4)
        self.targets = [
            {"boxes": random_boxes(count), "labels": torch.randint(1, CLASSES + 1, (count,))} for count in counts
        ]
        self.sizes = [(SIZE[0] - 7 * (image % 3), SIZE[1] - 5 * (image % 2)) for image in range(images)]
        self.gt, self.seeds = pad_targets(self.targets), torch.randint(2**32, (images,))
        self.ids = anchor_ids(GRIDS, self.level_sizes)

    def keys(self, proposals=0):
        """Return the random numbers of anchors and of RoIs."""
        return random_keys(self.seeds, self.ids, proposals, self.gt.boxes.shape[1])

    def sample_rois(self):
        proposals = self.padded_proposals()
        return batched.sample_rois(proposals, self.gt, self.keys(proposals.boxes.shape[1])[1], 32)

    def proposals(self, image):
        return rpn.propose(
            self.logits[image], self.deltas[image], self.anchors, self.level_sizes, self.sizes[image], 100, 60, 0.6, 0.3
        )

    def padded_proposals(self):
        return pad_boxes([self.proposals(image) for image in range(len(self.sizes))])

    @property
    def size_tensor(self):
        return torch.tensor(self.sizes, dtype=torch.float32)


def random_boxes(count):
    corner = torch.rand(count, 2) * torch.tensor([100.0, 70.0])
    return torch.cat([corner, corner + 2 + torch.rand(count, 2) * 26], 1)


def lowest_keys(matches, count, fraction, generator):
    """Sample what the twins sample. `generator` is the seed and the ids of one image."""
    seed, ids = generator
    order = scramble(seed ^ ids).argsort()
    order = order[order < len(matches)]
    positives = order[matches[order] >= 0][: int(count * fraction)]
    return positives, order[matches[order] == anchors.BACKGROUND][: count - len(positives)]


def test_losses_of_the_rpn(batch, path):
    found = batched.rpn_losses(batch.logits, batch.deltas, batch.anchors, batch.gt, batch.keys()[0], 64)
    gt_boxes, generators = [target["boxes"] for target in batch.targets], [(seed, batch.ids) for seed in batch.seeds]
    expected = rpn.rpn_losses(
        batch.logits, batch.deltas, batch.anchors, gt_boxes, 64, generators=generators, sample_balanced=lowest_keys
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_proposals(batch, path):
    found = batched.propose(
        batch.logits, batch.deltas, batch.anchors, batch.level_sizes, batch.size_tensor, 100, 60, 0.6, 0.3
    )
    for image, of_image in enumerate(found.by_image()):
        torch.testing.assert_close(of_image, batch.proposals(image), rtol=0, atol=0)


def test_sampled_rois(batch, path):
    found = batch.sample_rois()
    for image, target in enumerate(batch.targets):
        proposals = batch.proposals(image)
        ids = torch.cat([PROPOSAL_ID + torch.arange(len(proposals)), GT_ID + torch.arange(len(target["boxes"]))])
        draw = {"generator": (batch.seeds[image], ids), "sample_balanced": lowest_keys}
        rois, labels, target_boxes = roi.sample_rois(proposals, target["boxes"], target["labels"], 32, **draw)
        is_real, count = found.is_real[image], int((labels > 0).sum())
        torch.testing.assert_close(found.boxes[image][is_real], rois, rtol=0, atol=0)
        assert found.labels[image][is_real].tolist() == labels.tolist()
        torch.testing.assert_close(found.target_boxes[image][:count], target_boxes[:count], rtol=0, atol=0)


def test_patches(batch, path):
    levels = [torch.randn(len(batch.sizes), 6, *grid) for grid in GRIDS]
    proposals = batch.padded_proposals()
    found = batched.pool_levels(levels, STRIDES, proposals, 24)
    expected = roi.pool_levels(levels, STRIDES, proposals.by_image(), 24)
    torch.testing.assert_close(found[proposals.is_real.flatten()], expected, rtol=1e-5, atol=1e-5)


def test_losses_of_the_second_stage(batch, path):
    rois = batch.sample_rois()
    real, count = rois.is_real.flatten(), rois.is_real.numel()
    logits, deltas = torch.randn(count, CLASSES + 1), torch.randn(count, CLASSES + 1, 4)
    missing = rois.boxes.shape[1] - rois.target_boxes.shape[1]
    target_boxes = torch.nn.functional.pad(rois.target_boxes, (0, 0, 0, missing)).flatten(0, 1)
    columns = (logits, deltas, rois.boxes.flatten(0, 1), rois.labels.flatten(), target_boxes)
    expected = roi.detection_losses(*(column[real] for column in columns))
    torch.testing.assert_close(batched.detection_losses(logits, deltas, rois), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [1, CLASSES, 80])
def test_detections(batch, path, classes):
    proposals = batch.padded_proposals()
    count = proposals.is_real.numel()
    logits, deltas = 3 * torch.randn(count, classes + 1), torch.randn(count, classes + 1, 4)
    found = batched.postprocess(logits, deltas, proposals, batch.size_tensor, 0.01, 0.4, 50)
    for image, size in enumerate(batch.sizes):
        rows = torch.where(proposals.is_real[image])[0] + image * proposals.is_real.shape[1]
        expected = roi.postprocess(logits[rows], deltas[rows], proposals.by_image()[image], size, 0.01, 0.4, 50)
        torch.testing.assert_close(found[image], expected, rtol=0, atol=1e-6)


# Random keys


def test_keys_are_those_of_integer_arithmetic():
    seeds, ids = torch.tensor([0, 1, 2**32 - 1]), torch.tensor([0, 5, 2**31 + 7, 2**32 - 1])
    expected = [[murmur(seed ^ number) for number in ids.tolist()] for seed in seeds.tolist()]
    assert random_keys(seeds, ids, 0, 0)[0].tolist() == expected


def murmur(number):
    number = ((number ^ (number >> 16)) * 0x85EBCA6B) % 2**32
    number = ((number ^ (number >> 13)) * 0xC2B2AE35) % 2**32
    return number ^ (number >> 16)


def test_keys_differ_from_id_to_id_and_look_random():
    keys, roi_keys = random_keys(torch.tensor([7, 8]), anchor_ids([(40, 40), (20, 20)], [14400, 3600]), 300, 90)
    assert all(len(of_image.unique()) == 18390 for of_image in torch.cat([keys, roi_keys], 1))
    order = keys.argsort(1).double()
    assert abs(torch.corrcoef(order)[0, 1]) < 0.03  # between two images
    assert abs(order[0, :9000].mean() - 8999.5) < 200


def test_samples_do_not_depend_on_padding():
    small, large = anchor_ids([(2, 3)], [18]), anchor_ids([(4, 5)], [60])
    assert torch.equal(small.view(2, 3, 3), large.view(4, 5, 3)[:2, :3])


# NMS over many groups


def test_nms_in_one_call_rounds_nothing():
    """In float32, 640 groups of boxes moved apart would lose the last bits of their corners."""
    torch.manual_seed(0)
    images, classes, count = 8, 80, 40
    corner = 300 * torch.rand(images, classes * count, 2)
    boxes_ = torch.cat([corner, corner + 3 + 40 * torch.rand(images, classes * count, 2)], 2)
    scores, keep = torch.rand(images, classes * count), torch.ones(images, classes * count, dtype=torch.bool)
    one_call = batch_nms._nms_in_one_call(boxes_, scores, [count] * classes, 0.5)
    assert torch.equal(one_call, batch_nms._nms_by_group(boxes_, scores, [count] * classes, 0.5))
    assert keep.sum() > one_call.sum() > 0


def test_nms_in_chunks_gives_the_same(monkeypatch):
    torch.manual_seed(1)
    boxes_, scores = torch.stack([random_boxes(60) for _ in range(5)]), torch.rand(5, 60)
    whole = batch_nms._nms_in_one_call(boxes_, scores, [20, 40], 0.3)
    monkeypatch.setattr(batch_nms, "MAX_NMS_BOXES", 120)
    assert torch.equal(batch_nms._nms_in_one_call(boxes_, scores, [20, 40], 0.3), whole)


def test_matching_in_chunks_gives_the_same(monkeypatch):
    batch = Batch([3, 0, 40])
    whole = batch_matching.match(batch.anchors, batch.gt.boxes, 0.7, 0.3, True)
    monkeypatch.setattr(batch_matching, "MAX_PAIRS", 7 * len(batch.anchors))
    assert torch.equal(batch_matching.match(batch.anchors, batch.gt.boxes, 0.7, 0.3, True), whole)
