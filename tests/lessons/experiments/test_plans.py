import pytest

from coursekit.data import load
from coursekit.lessons.experiments import plans


def test_the_short_form_says_that_there_is_no_plan(capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    assert plans.print_plan(4.0, num_classes=4) is None
    assert "left out in the short form" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than a second"), (1.4, "1 second"), (3, "3 seconds"), (59, "59 seconds"), (90, "1.5 minutes")],
)
def test_less_than_a_minute_is_said_in_seconds(seconds, words):
    assert plans.duration(seconds) == words


@pytest.mark.slow
def test_the_plan_of_a_card_and_the_speed_of_this_machine(coco_folder, capsys, monkeypatch):
    monkeypatch.delenv("COURSEKIT_FAST", raising=False)
    card = plans.print_plan(4.0, num_classes=4)
    printed = capsys.readouterr().out
    assert card.recommended is not None
    assert f"to start with: long side {card.recommended.size}, {card.recommended.batch} images at a time" in printed
    assert "800 × 1333" in printed
    assert plans.images_per_second(load(coco_folder, "train"), batch=1, size=64, frozen_stages=8) > 0
