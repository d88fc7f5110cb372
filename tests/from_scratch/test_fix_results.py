import pytest

from coursekit.data import load
from coursekit.evaluation import score, to_coco_results
from coursekit.from_scratch.fix_results import RESIZED_TO, fix_results
from coursekit.lessons.experiments.lesson07_run import stand_in


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(8)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def _spoiled(record, fault, size, ids):
    (height, width), (x, y, w, h) = size, record["bbox"]
    scale = RESIZED_TO / max(size)
    return record | {
        "labels": {"category_id": ids.index(record["category_id"]) + 1},
        "corners": {"bbox": [x, y, x + w, y + h]},
        "shares": {"bbox": [x / width, y / height, w / width, h / height]},
        "resized": {"bbox": [side * scale for side in (x, y, w, h)]},
    }.get(fault, {})


@pytest.mark.parametrize("fault", ["labels", "corners", "shares", "resized"])
def test_each_fault_ruins_the_score_and_is_undone(detected, fault):
    results, dataset = detected
    sizes = {id_: dataset.size(position) for position, id_ in enumerate(dataset.image_ids)}
    wrong = [_spoiled(record, fault, sizes[record["image_id"]], dataset.category_ids) for record in results]
    assert score(wrong, dataset)["AP"] < 0.2 * score(results, dataset)["AP"]
    fixed = fix_results(wrong, fault, sizes, dataset.category_ids)
    assert score(fixed, dataset)["AP"] == pytest.approx(score(results, dataset)["AP"])
    assert [record["category_id"] for record in fixed] == [record["category_id"] for record in results]
