import pytest
import torch

from coursekit.data import load
from coursekit.detector import postprocess
from coursekit.lessons.experiments.oracle_box_head import around, know, score_oracle

BOXES = torch.tensor([[10.0, 10, 30, 50], [40, 20, 70, 40]])
TARGET = {"boxes": BOXES, "labels": torch.tensor([2, 1])}


def test_boxes_around_an_object_stay_near_it():
    rois, labels, boxes = around(TARGET, each=50, spread=0.1, seed=3)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    assert rois.shape == (100, 4)
    assert labels.tolist() == [2] * 50 + [1] * 50
    assert torch.equal(boxes, BOXES.repeat_interleave(50, 0))
    assert ((rois - boxes).abs() <= 0.2 * sides + 1e-4).all()
    assert (rois - boxes).abs().max() > 1
    assert torch.equal(rois, around(TARGET, each=50, spread=0.1, seed=3)[0])


def test_what_an_oracle_predicts_becomes_the_ground_truth():
    near = around(TARGET, each=1, spread=0.1)
    found = postprocess(*know(*near, 3), near[0], (60, 80))
    order = found["labels"].argsort(descending=True)
    torch.testing.assert_close(found["boxes"][order], BOXES, atol=1e-3, rtol=0)
    noisy, _ = know(*near, 3, noise=1.0)
    assert 0.3 < (noisy - know(*near, 3)[0]).std() < 3


@pytest.mark.slow
def test_a_fault_after_the_head_costs_what_it_costs(capsys):
    def labels_from_0(*arguments):
        found = postprocess(*arguments)
        return found | {"labels": found["labels"] - 1}

    scores = score_oracle(load("mini", "val").head(10), {"no fault": postprocess, "labels from 0": labels_from_0})
    assert scores["no fault"]["AP50"] == pytest.approx(1)
    assert scores["labels from 0"]["AP50"] < 0.2
    assert "no fault                 1.00   1.00" in capsys.readouterr().out
