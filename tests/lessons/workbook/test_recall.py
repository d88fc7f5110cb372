import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.workbook.recall import recall
from tests.lessons.answers import IOU


def test_it_says_whose_each_part_is(workbook):
    workbook.store("box_iou", IOU)
    recalled = recall(workbook, "box_iou", "nms", "FPN")
    assert recalled.owners == ["yours", "the course's", "the course's", "the course's"]
    assert "box_iou(first, second)   (yours)" in str(recalled)
    assert "FPN(…)(maps)   (the course's)" in str(recalled)
    assert "<code>iou_threshold</code>" in recalled._repr_html_()


def test_the_whole_contract_is_shown(workbook):
    recalled = recall(workbook, "sample_rois", "halve_on_oom", "pool_levels")
    for text in (" ".join(str(recalled).split()), recalled._repr_html_()):
        assert "The ground-truth boxes are added to them here." in text
        assert "with the same IoU, an RoI belongs to the first." in text
        assert "Level k has a stride of 2^k." in text
        assert "not even one image fits into memory. Other errors pass through." in text


def test_an_unknown_name_is_an_error(workbook):
    with pytest.raises(ConfigError, match="did you mean 'nms'"):
        recall(workbook, "nmss")
