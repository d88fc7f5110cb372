import copy
from dataclasses import replace

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.detector import box_iou
from coursekit.evaluation import compare, to_coco_results
from coursekit.evaluation.error_analysis import KINDS
from coursekit.lessons.experiments import paired_remedies
from coursekit.lessons.experiments.lesson07_run import stand_in

LANES = torch.tensor([[8.0, 8, 40, 40], [40, 30, 60, 60]])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    image = torch.rand(3, 64, 64)
    return [image], [{"boxes": LANES, "labels": torch.tensor([1, 2])}]


def _losses(detector, batch, **changes):
    changed = copy.deepcopy(detector)
    paired_remedies.change_detector(changed, **changes)
    torch.manual_seed(0)
    return changed.train()(*batch, seeds=[0])


@pytest.mark.parametrize("word", ["proved", "disproved", "open"])
def test_a_conclusion_is_a_sentence_about_the_remedy(word):
    sentence = paired_remedies.conclusion(word, "the box loss counts twice")
    assert sentence.startswith("the box loss counts twice: ")
    assert word in sentence


def test_an_option_is_changed_and_nothing_else(tiny_detector):
    before = tiny_detector.options
    paired_remedies.change_detector(tiny_detector, box_nms_thresh=0.4, rpn_post_nms_top_n=(600, 400))
    assert tiny_detector.options == replace(before, box_nms_thresh=0.4, rpn_post_nms_top_n=(600, 400))
    with pytest.raises(ConfigError, match="'epochs' can't be changed here. Choose from: anchor_sizes"):
        paired_remedies.change_detector(tiny_detector, epochs=2)


def test_the_box_loss_is_weighted(tiny_detector, batch):
    plain, weighted = _losses(tiny_detector, batch), _losses(tiny_detector, batch, box_loss_weight=2.0)
    assert weighted["loss_box_reg"].item() == pytest.approx(2 * plain["loss_box_reg"].item())
    assert weighted["loss_classifier"].item() == plain["loss_classifier"].item()


def test_half_of_the_sampled_rois_may_be_objects(tiny_detector, batch):
    counts = {}
    for share in (0.25, 1.0):
        changed = copy.deepcopy(tiny_detector)
        paired_remedies.change_detector(changed, positive_fraction=share, box_batch_size_per_image=4)
        sample = changed.stages.sample_rois

        def counting(*args, sample=sample, share=share):
            rois = sample(*args)
            counts[share] = int((rois.labels > 0).sum())
            return rois

        changed.stages.sample_rois = counting
        changed.train()(*batch, seeds=[0])
    assert counts == {0.25: 1, 1.0: 4}


def test_background_rois_overlap_an_object(tiny_detector, batch):
    seen = {}
    for least in (0.0, 0.1):
        changed = copy.deepcopy(tiny_detector)
        paired_remedies.change_detector(changed, background_iou=least)
        sample = changed.stages.sample_rois

        def remembering(*args, sample=sample, least=least):
            rois = sample(*args)
            background = rois.boxes[0][rois.is_real[0] & (rois.labels[0] == 0)]
            seen[least] = box_iou(background, LANES).amax(1)
            return rois

        changed.stages.sample_rois = remembering
        changed.train()(*batch, seeds=[0])
    assert seen[0.0].min() < 0.1
    assert seen[0.1].min() >= 0.1
    nothing = [{"boxes": LANES[:0], "labels": torch.empty(0, dtype=torch.int64)}]
    assert _losses(tiny_detector, (batch[0], nothing), background_iou=0.1)["loss_classifier"] > 0


@pytest.mark.slow
def test_pairs_share_seed_and_start_and_differ_in_the_change(coco_folder, tiny_detector):
    train_set, val_set = load(coco_folder, "train"), load(coco_folder, "val")
    paired_remedies.change_detector(tiny_detector, box_score_thresh=0.0)
    trial = paired_remedies.Trial.of(tiny_detector, train_set, val_set, 64)
    baselines, same, _ = trial.pairs(2)
    assert baselines == same
    assert baselines[0] != baselines[1]
    baselines, changed, pupil = trial.pairs(1, box_loss_weight=5.0)
    assert baselines[0] == trial.run(0)[1] != changed[0]
    assert pupil.backbone is tiny_detector.backbone


def test_the_interval_over_images_is_that_of_compare_for_one_pair():
    dataset = load("mini", "val").head(12)
    results = to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids)
    expected = compare(results, results[::2], dataset, draws=60).ap
    interval = paired_remedies.on_other_images([results], [results[::2]], dataset, draws=60)
    assert interval == pytest.approx((expected.low, expected.high))
    both = paired_remedies.on_other_images([results, results[::2]], [results[::2], results], dataset, draws=60)
    assert both == pytest.approx((0, 0))


def test_the_lesson_has_a_remedy_for_each_kind_of_error():
    """The menu of lesson 10 has all six kinds, no two remedies are the same, and each can be applied."""
    import ast
    from pathlib import Path

    source = (Path(__file__).parents[3] / "solutions" / "10_your_detector.py").read_text(encoding="utf-8")
    tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("#", "%"))))
    menu = next(
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "menu"
    )
    assert set(menu) == set(KINDS)
    changes = [str(change) for _, change in menu.values()]
    assert len(set(changes)) == len(KINDS)
    assert "epochs" not in " ".join(changes)
