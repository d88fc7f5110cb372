import pytest

from coursekit.core.errors import ConfigError
from coursekit.memory.planner import LONG_SIDES, Candidate, Card
from coursekit.memory.step_config import Peak
from coursekit.runs import plan_by_hours
from coursekit.runs.plan_by_hours import (
    MAX_EPOCHS,
    MIN_EPOCHS,
    named_card,
    proposals,
    speed_here,
    speed_of_card,
    train_command,
)

NO_MEMORY = Peak(0, 0, 0, 0, 0)


def _card(largest="800", batch=16):
    """A card on which sizes up to `largest` fit, `batch` images at a time."""
    fits = LONG_SIDES[: LONG_SIDES.index(largest) + 1]
    candidates = [
        Candidate(size, count, NO_MEMORY, "fits" if size in fits and count <= batch else "does not fit")
        for size in LONG_SIDES
        for count in (1, 2, 4, 8, 16)
    ]
    return Card(4.0, 3.0, candidates, None)


@pytest.mark.parametrize(
    ("speed", "time", "first", "size", "epochs"),
    [
        (15, 1, "coco-person", 320, 12),  # a CPU; 48,600 images of 320 pixels
        (60, 3, "coco-10k", 480, 25),
        (400, 3, "coco-320", 320, 32),
        (1, 0.7, "mini", 320, 9),
        (0.01, 0.1, "", 0, 0),
    ],
)
def test_the_largest_recipe_with_enough_epochs_comes_first(speed, time, first, size, epochs):
    found = proposals(time, speed, _card())
    assert found[0].epochs == epochs
    if epochs:
        assert (found[0].recipe, found[0].size) == (first, size)
    assert len({each.recipe for each in found}) == len(plan_by_hours.names())


def test_no_more_time_is_proposed_than_there_is():
    for each in proposals(3, 60, _card()):
        pixels = each.epochs * each.images * (each.size / 320) ** 2
        assert pixels <= 0.9 * 3 * 3600 * 60
        assert each.epochs <= MAX_EPOCHS


def test_a_size_that_does_not_fit_on_the_card_is_not_proposed():
    assert {each.size for each in proposals(100, 500, _card("320"))} == {320}
    choice = proposals(3, 60, _card("480", batch=4))[0]
    line = train_command(choice, _card("480", batch=4))
    assert line == f"coursekit train --data coco-10k --size 480 --epochs {choice.epochs} --batch 16 --micro-batch 4 " \
        "--out runs/coco-10k"  # fmt: skip
    assert choice.epochs >= MIN_EPOCHS


@pytest.mark.parametrize("time", [0, -1, float("nan"), float("inf")])
def test_hours_that_are_none_are_refused(time):
    with pytest.raises(ConfigError, match=r"--hours .*greater than 0"):
        proposals(time, 10, _card())


def test_cards_are_found_by_name():
    assert named_card("rtx 3060")[::2] == ("RTX 3060", 12)
    with pytest.raises(ConfigError, match=r"no such card in the list.*RTX 3060"):
        named_card("RTX 3061")


@pytest.mark.slow
def test_speeds():
    assert 0 < speed_here() < 10_000
    assert speed_of_card(2e12) == pytest.approx(2 * speed_of_card(1e12), rel=0.05)  # weights are random
