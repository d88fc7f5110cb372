import pytest
import torch

from coursekit.core.errors import DataError
from coursekit.export.agreement import Agreement, check_agreement, compare
from coursekit.export.graph import Limits
from tests.export.conftest import noise, tiny

LIMITS = Limits(0.05, 0.5, 3)
BOX, MOVED, FAR = [0.0, 0, 10, 10], [0.0, 0, 10, 11], [50.0, 50, 60, 60]


def _found(*rows):
    """Detections from (score, label, box)."""
    scores, labels, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64), "scores": torch.tensor(scores)}


def _compared(expected, found, candidates=()):
    """Compare detections. `candidates` are those that PyTorch had before NMS, besides the expected ones."""
    agreement = Agreement()
    compare(agreement, _found(*expected), _found(*found), LIMITS, lambda: _found(*expected, *candidates))
    return agreement


def test_equal_detections_agree_in_any_order():
    agreement = _compared([(0.9, 1, BOX), (0.8, 2, FAR)], [(0.8, 2, FAR), (0.9, 1, BOX)])
    assert (agreement.detections, agreement.swaps, agreement.differences) == (2, 0, [])


def test_the_largest_differences_are_kept():
    agreement = _compared([(0.9, 1, BOX), (0.8, 1, FAR)], [(0.90005, 1, BOX), (0.8, 1, [50.0, 50, 60, 60.005])])
    assert agreement.box_error == pytest.approx(0.005, abs=1e-4)
    assert agreement.score_error == pytest.approx(5e-5, abs=1e-6)
    assert agreement.differences == []


@pytest.mark.parametrize(
    "found",
    [
        [(0.9, 2, BOX)],  # another label
        [(0.8998, 1, BOX)],  # another score
        [(0.9, 1, [0.0, 0, 10, 10.02])],  # another place; scores are equal, but nothing was exchanged for it
        [],
    ],
)
def test_anything_else_is_a_difference(found):
    assert len(_compared([(0.9, 1, BOX)], found).differences) == 1 + len(found)


def test_a_detection_of_equal_score_in_its_place_is_a_swap():
    def differences(*other):
        return len(_compared([(0.9, 1, BOX)], [other], [other]).differences)

    agreement = _compared([(0.9, 1, BOX)], [(0.900005, 1, MOVED)], [(0.9, 1, MOVED)])
    assert (agreement.swaps, agreement.differences) == (2, [])
    assert differences(0.90002, 1, MOVED) == 2  # that is no tie
    assert differences(0.9, 1, FAR) == 2  # that is no rival
    assert differences(0.9, 2, MOVED) == 2


def test_a_box_that_pytorch_never_had_is_no_swap():
    assert len(_compared([(0.9, 1, BOX)], [(0.9, 1, MOVED)]).differences) == 2


def test_the_threshold_and_the_last_place_can_be_ties():
    assert _compared([(0.050004, 1, BOX)], []).swaps == 1
    assert _compared([(0.0501, 1, BOX)], []).swaps == 0
    full = [(0.9, 1, BOX), (0.8, 1, FAR), (0.7, 2, BOX)]
    agreement = _compared(full, [*full[:2], (0.700002, 2, FAR)])
    assert (agreement.swaps, agreement.differences) == (2, [])


def test_a_difference_is_an_error_that_says_where():
    model = tiny()
    with pytest.raises(DataError, match=r"in \d+ detections of 1 images: image 1: only PyTorch has label"):
        check_agreement(model, lambda image: _found(), [noise(48, 64)])
