import pytest

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.evaluation import compare, score, to_coco_results
from coursekit.lessons.experiments import lesson10_questions
from coursekit.lessons.experiments.lesson07_run import stand_in
from tests.lessons.experiments.small_objects import without_large_objects


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(12)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_the_question_that_was_asked_is_the_one_that_is_answered():
    assert len(lesson10_questions.QUESTIONS) == 3
    for choice, text in lesson10_questions.QUESTIONS.items():
        assert lesson10_questions.text_of(choice, "another") == text
    assert lesson10_questions.text_of("my own", " Is one box enough? ") == "Is one box enough?"
    with pytest.raises(ConfigError, match="is none of the questions. Choose one of: few classes"):
        lesson10_questions.text_of("few clases")
    with pytest.raises(ConfigError, match="Your own question is empty"):
        lesson10_questions.text_of("my own")


def test_two_detectors_are_compared_as_compare_does(detected):
    results, dataset = detected
    answer = lesson10_questions.answer(
        "better?", ("all", results, "AP"), ("half", results[::2], "AP"), dataset, draws=60
    )
    expected = compare(results, results[::2], dataset, draws=60).ap
    assert answer.scores == pytest.approx((expected.a, expected.b))
    assert (answer.low, answer.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert answer.verdict == "all, AP is higher"
    assert str(answer).startswith(f"all, AP: {expected.a:.3f}; half, AP: {expected.b:.3f}. Difference -0.")


def test_two_numbers_of_one_detector_are_compared(detected):
    results, dataset = detected
    answer = lesson10_questions.answer(
        "tight?", ("mine", results, "AP75"), ("mine", results, "AP50"), dataset, draws=40
    )
    numbers = score(results, dataset)
    assert answer.change == pytest.approx(numbers["AP50"] - numbers["AP75"])
    assert answer.low > 0
    assert "mine, AP50 is higher" in str(answer)
    same = lesson10_questions.answer("?", ("a", results, "AP"), ("b", results, "AP"), dataset, draws=40)
    assert same.verdict == "no difference that 12 images could show"


def test_images_that_show_nothing_to_score_can_t_answer():
    mine, one_image = without_large_objects()
    answer = lesson10_questions.answer("?", ("mine", mine, "AP"), ("mine", mine, "AP_large"), one_image, draws=40)
    assert not answer.is_known
    assert str(answer) == "No answer: nothing in the images (1) can be scored for “mine, AP_large”."


def test_a_number_that_coco_does_not_have_is_refused(detected):
    results, dataset = detected
    with pytest.raises(ConfigError, match="'mAP' is none of COCO's numbers. Choose one of: AP, AP50"):
        lesson10_questions.answer("?", ("a", results, "mAP"), ("b", results, "AP"), dataset)
    with pytest.raises(ConfigError, match="at least 40"):
        lesson10_questions.answer("?", ("a", results, "AP"), ("b", results, "AP"), dataset, draws=10)
