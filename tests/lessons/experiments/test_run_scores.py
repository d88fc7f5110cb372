import pytest

from coursekit.data import load
from coursekit.evaluation import score, to_coco_results
from coursekit.lessons.experiments import run_scores
from coursekit.lessons.experiments.lesson07_run import stand_in
from tests.lessons.experiments.small_objects import without_large_objects


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(12)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_scores_come_with_their_intervals(detected, capsys):
    numbers = run_scores.print_scores(*detected, draws=40)
    assert numbers == score(*detected)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"AP          {numbers['AP']:.3f}   95 % interval 0.")
    assert [line.split()[0] for line in lines] == list(run_scores.SHOWN)


def test_what_the_images_don_t_show_has_no_score(capsys):
    assert run_scores.print_scores(*without_large_objects(), draws=40)["AP_large"] == -1
    assert "AP_large       -1   no such object in these images" in capsys.readouterr().out


def test_the_costliest_kind_is_returned(detected, capsys):
    assert run_scores.show_errors(*detected) in ("classification", "localization", "background", "missed", "duplicate")
    assert run_scores.show_errors([], detected[1]) == "missed"
    assert "Nothing was detected" in capsys.readouterr().out


def test_each_run_has_its_ap(detected):
    results, dataset = detected
    assert run_scores.ap_of_each([results, []], dataset) == [score(results, dataset)["AP"], 0.0]
