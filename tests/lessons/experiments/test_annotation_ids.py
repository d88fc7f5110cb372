import pytest

from coursekit.lessons.experiments.annotation_ids import two_perfect_boxes


def test_an_object_with_the_id_0_counts_as_missed():
    assert two_perfect_boxes(0) < 0.6
    assert two_perfect_boxes(1) == pytest.approx(1)
