import torch
from ipywidgets import ToggleButtons

from coursekit.lessons.checking.catch import Caught, catch
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.notebooks.buttons import below_catch, below_check
from coursekit.lessons.workbook import progress
from tests.lessons.answers import IOU, answer


def _labels(box):
    return [button.description for button in box.children[0].children]


def _click(box, label):
    """The text that a button adds."""
    next(button for button in box.children[0].children if button.description == label).click()
    return "".join(output["text"] for output in box.children[1].outputs)


def test_without_an_answer_there_is_a_hint(workbook):
    box = below_check(workbook, check(workbook, "nms"))
    assert _labels(box) == ["A hint"]
    assert "Hint 1 of 3" in _click(box, "A hint")


def test_after_the_first_wrong_answer_a_known_mistake_can_be_shown_and_a_text_for_a_chat(workbook):
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    box = below_check(workbook, check(workbook, "nms"))
    assert _labels(box) == ["A hint", "Show what this looks like", "Text for a chat"]
    assert "one-shot suppression" in _click(box, "Show what this looks like")
    assert "Badge of this exercise: by hand." in _click(box, "Text for a chat")


def test_a_mistake_that_is_named_needs_no_button(workbook):
    workbook.store("nms", answer("nms", "wrong_returns_a_list"))
    check(workbook, "nms")
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    assert _labels(below_check(workbook, check(workbook, "nms"))) == ["A hint", "Text for a chat"]


def test_after_a_right_answer_one_click_says_how_it_came_about(workbook):
    workbook.store("box_iou", IOU)
    buttons = below_check(workbook, check(workbook, "box_iou"))
    assert isinstance(buttons, ToggleButtons)
    assert (buttons.options, buttons.value) == (("wrote it", "after an explanation", "generated"), None)
    buttons.value = "generated"
    assert progress.record(workbook, "box_iou").origin == "generated"
    assert below_check(workbook, check(workbook, "box_iou")).value == "generated"


def test_a_wrong_answer_that_got_through_is_given_away_on_a_click():
    box = below_catch(Caught("nms", [], ["it is slow", "it is wrong"], "a large case"))
    text = _click(box, "Show one that got through")
    assert "it is slow" in text
    assert "a large case" in text
    assert "it is wrong" not in text


def test_each_click_gives_away_the_next_one_and_keeps_its_input(workbook):
    caught, kept = catch(workbook, "nms", (torch.zeros(0, 4), torch.zeros(0), 0.5)), []
    box = below_catch(caught, kept.append)
    first, both = (_click(box, "Show one that got through") for _ in range(2))
    assert caught.through[0] in first
    assert caught.through[1] in both.removeprefix(first)
    assert first.endswith("\nThe input is in the variable missed.\n")
    assert len(kept) == 2
    assert all(len(args) == 3 for args in kept)
