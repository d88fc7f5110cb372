import pytest

from coursekit.data import load
from coursekit.evaluation import split_errors, to_coco_results
from coursekit.lessons.experiments.lesson07_run import stand_in
from coursekit.show import diagnosis
from tests.show.pictures import is_drawn


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(8)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_costs_and_confusions_have_words_for_those_who_do_not_see_them(detected, tmp_path):
    report = split_errors(*detected)
    fig, alt = diagnosis.error_costs_picture(report)
    assert f"missed {report.kinds['missed'].cost:.3f}" in alt
    assert is_drawn(fig, tmp_path / "costs.png")
    _, alt = diagnosis.confusions_picture(*detected, threshold=0.3)
    assert " as " in alt
    _, alt = diagnosis.confusions_picture(*detected, threshold=1.0)
    assert alt == "Which classes are confused: none."


def test_the_worst_images_are_named(detected, capsys):
    diagnosis.worst_images(*detected, 2, 0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("image 5") for line in lines)
    diagnosis.worst_images([], detected[1], 2, 0.3)
    assert capsys.readouterr().out == "No image has an error at this threshold.\n"
