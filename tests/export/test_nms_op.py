import torch
from torchvision import ops

from coursekit.export.nms_op import DROPPED, suppress


def _boxes(groups, count):
    corner = torch.rand(groups, count, 2) * 50
    return torch.cat([corner, corner + 1 + torch.rand(groups, count, 2) * 30], 2)


def test_each_group_is_suppressed_by_itself():
    torch.manual_seed(0)
    boxes, scores = _boxes(3, 40), torch.rand(3, 40)
    kept = suppress(boxes, scores, 0.5)
    for group in range(3):
        expected = ops.nms(boxes[group], scores[group], 0.5)
        assert torch.equal(torch.where(kept[group] >= 0)[0], expected.sort().values)
        assert torch.equal(kept[group][expected], scores[group][expected])
    assert (kept[kept < 0] == DROPPED).all()


def test_what_is_no_box_suppresses_nothing():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]]])
    assert suppress(boxes, torch.tensor([[DROPPED, 0.0, DROPPED]]), 0.5).tolist() == [[DROPPED, 0.0, DROPPED]]
    assert suppress(boxes, torch.full((1, 3), DROPPED), 0.5).tolist() == [[DROPPED] * 3]


def test_its_shape_is_known_without_running_it():
    boxes = torch.empty(2, 5, 4, device="meta")
    assert suppress(boxes, torch.empty(2, 5, device="meta"), 0.5).shape == (2, 5)
