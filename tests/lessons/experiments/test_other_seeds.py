import pytest

from coursekit.data import load
from coursekit.evaluation import to_coco_results
from coursekit.lessons.experiments import other_seeds
from coursekit.lessons.experiments.lesson07_run import stand_in


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(12)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_each_pair_gets_a_verdict(detected, capsys, monkeypatch):
    results, dataset = detected
    pairs = {"the same": (results, results), "only half": (results, results[::2])}
    other_seeds.compare_all(pairs, dataset, guess=2, draws=40)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "the same   +0.0000, +0.0000 to +0.0000: these images can't tell"
    assert lines[2].startswith("only half  -0.")
    assert lines[2].endswith(": A is better")
    assert lines[3] == "1 of these 2 intervals hold 0; you said 2"
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    other_seeds.compare_all(pairs, dataset, guess=2, draws=40)
    assert "Short form" in capsys.readouterr().out


def test_the_largest_changes_by_class_come_first(detected, capsys):
    results, dataset = detected
    lost = results[0]["category_id"]
    other_seeds.compare_by_class(results, [r for r in results if r["category_id"] != lost], dataset, most=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split("→")[0].split()[0] in dataset.classes[dataset.category_ids.index(lost)]
    assert lines[1].endswith("→ 0.00")


def test_options_are_changed_in_a_copy(tiny_detector):
    lenient = other_seeds.with_options(tiny_detector, box_nms_thresh=0.7)
    assert lenient.options.box_nms_thresh == 0.7
    assert tiny_detector.options.box_nms_thresh == 0.5


@pytest.mark.slow
def test_two_seeds_train_differently_and_leave_the_detector(coco_folder, tiny_detector, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    before = {name: value.clone() for name, value in tiny_detector.state_dict().items()}
    train_set, val_set = load(coco_folder, "train"), load(coco_folder, "val")
    seen = [other_seeds.trained_further(tiny_detector, train_set, val_set, seed) for seed in (1, 1, 2)]
    assert seen[0] == seen[1]
    assert all(value.equal(before[name]) for name, value in tiny_detector.state_dict().items())
