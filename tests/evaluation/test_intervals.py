import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation import METRICS, score
from coursekit.evaluation.compare import compare
from coursekit.evaluation.error_analysis import best_images, worst_images
from coursekit.evaluation.intervals import Resampled, intervals
from tests.evaluation.test_compare import _detector, _load, _object


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(5)
    images = list(range(3, 63))
    objects = [
        _object(images, number, int(rng.choice(images)), 2 * int(rng.integers(3)) + 1,
                (*rng.uniform(0, 150, 2), *rng.uniform(10, 120, 2)), rng.random() < 0.05)
        for number in range(1, 200)
    ]  # fmt: skip
    results = _detector(rng, objects, images, 3, jitter=0.06, recall=0.7)
    return _load(tmp_path, images, objects, 3), results


def test_a_draw_with_every_image_once_is_the_score(made):
    dataset, results = made
    numbers = Resampled(results, dataset).score(np.ones(len(dataset), int))
    assert numbers == pytest.approx(list(score(results, dataset).values()), abs=1e-12)


def test_a_draw_is_scored_as_a_data_set_with_those_images(made, tmp_path):
    dataset, results = made
    times = np.zeros(len(dataset), int)
    times[10:40] = 1
    kept = dataset.index.image_ids[10:40].tolist()
    few = [result for result in results if result["image_id"] in kept]
    part = CocoDataset("part", dataset.index, dataset.rows[10:40], dataset.image_folder)
    assert Resampled(results, dataset).score(times) == pytest.approx(list(score(few, part).values()), abs=1e-12)


def test_intervals_hold_the_score_and_agree_with_the_paired_bootstrap(made):
    dataset, results = made
    ends, numbers = intervals(results, dataset, draws=200), score(results, dataset)
    assert list(ends) == list(METRICS)
    for name in ("AP", "AP50", "AR_100"):
        low, high = ends[name]
        assert low < numbers[name] < high
    paired = compare([], results, dataset, draws=200).ap  # against no detections: the interval of B's own AP
    assert ends["AP"] == pytest.approx((paired.low, paired.high), abs=1e-9)


def test_no_detections_and_too_few_draws(made):
    dataset, results = made
    assert intervals([], dataset, draws=40)["AP"] == (0.0, 0.0)
    with pytest.raises(ConfigError, match="at least 40"):
        intervals(results, dataset, draws=10)


def test_best_images_have_most_true_positives_and_are_not_among_the_worst(made):
    dataset, results = made
    best = best_images(results, dataset, 4)
    assert len(best) == 4
    assert not set(best) & {image.image_id for image in worst_images(results, dataset, 4)}
    assert best_images([], dataset, 4) == []
    with pytest.raises(ConfigError, match="at least 1"):
        best_images(results, dataset, 0)
