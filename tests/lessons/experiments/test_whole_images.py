from types import SimpleNamespace

import torch
from torch import nn

from coursekit.detector import FasterRCNN
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.experiments.whole_images import takes_images
from tests.lessons.answers import right_answer


class OnBatches(nn.Module):
    """Finds one box, whose right lower corner is that of the image in the batch."""

    def __init__(self):
        super().__init__()
        self.options = SimpleNamespace(min_size=64, max_size=64)
        self.backbone = SimpleNamespace(mean=(0.0,) * 3, std=(1.0,) * 3)

    def losses(self, batch, sizes, targets):
        return {"boxes": torch.cat([target["boxes"] for target in targets]), "sizes": sizes}

    def predict(self, batch, sizes):
        return [{"boxes": torch.tensor([[0.0, 0, width, height]])} for height, width in sizes]


IMAGES = [torch.rand(3, 96, 128), torch.rand(3, 32, 16)]


def test_detections_are_in_the_pixels_of_each_image(workbook):
    found = takes_images(OnBatches, workbook)().eval()(IMAGES)
    assert [detection["boxes"].tolist() for detection in found] == [[[0, 0, 128, 96]], [[0, 0, 16, 32]]]


def test_targets_are_resized_with_their_images(workbook):
    targets = [{"boxes": torch.tensor([[0.0, 0, 128, 96]]), "labels": torch.tensor([1])}] * 2
    losses = takes_images(OnBatches, workbook)().train()(IMAGES[:1] * 2, targets)
    assert losses["sizes"] == [(48, 64)] * 2
    assert losses["boxes"].tolist() == [[0, 0, 64, 48]] * 2


def test_it_has_the_weights_of_the_detector_under_the_same_names(workbook):
    class WithWeights(OnBatches):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)

    assert list(takes_images(WithWeights, workbook)().state_dict()) == list(WithWeights().state_dict())


def test_a_detector_that_takes_images_already_stays_as_it_is(workbook):
    assert takes_images(FasterRCNN, workbook) is FasterRCNN


def test_compiled_twins_run_in_place_of_correct_parts(workbook):
    code = "from my_detector import nms\n\n\ndef box_iou(first, second):\n    return nms\n"
    caller = workbook.store("box_iou", code).module.box_iou
    workbook.store("nms", right_answer("nms"))
    check(workbook, "nms")

    class Calls(OnBatches):
        def predict(self, batch, sizes):
            called.append(caller(None, None))
            return super().predict(batch, sizes)

    called = []
    takes_images(Calls, workbook)().eval()(IMAGES)
    assert called == [EXERCISES["nms"].twin]
    assert caller(None, None) is not EXERCISES["nms"].twin
