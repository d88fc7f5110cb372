import pytest

from coursekit.data import load
from coursekit.lessons.experiments import plans


@pytest.mark.slow
def test_the_plan_of_a_card_and_the_speed_of_this_machine(coco_folder, capsys):
    card = plans.print_plan(4.0, num_classes=4)
    printed = capsys.readouterr().out
    assert card.recommended is not None
    assert f"to start with: long side {card.recommended.size}, {card.recommended.batch} images at a time" in printed
    assert "800 × 1333" in printed
    assert plans.images_per_second(load(coco_folder, "train"), batch=1, size=64, frozen_stages=8) > 0
