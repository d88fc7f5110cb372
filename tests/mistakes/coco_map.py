"""Wrong answers that people really give to `coco_map`; those named `right_…` must pass."""

import numpy as np

from coursekit.evaluation.coco import METRICS, score
from coursekit.evaluation.results import columns_of
from coursekit.from_scratch.average_precision import AREAS, _class_numbers, _samples
from coursekit.from_scratch.average_precision import coco_map as meant


def wrong_mean_of_everything(results, dataset):
    found = columns_of(results)
    samples = [_samples(found, dataset, one) for one in dataset.category_ids]
    table = np.array([[_class_numbers(one, *area) for area in AREAS] for one in samples])
    ap, recall = table[..., 0], table[..., 1:]
    kinds = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], *(ap[:, area] for area in (1, 2, 3))]
    kinds += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    return {name: float(kind.mean()) for name, kind in zip(METRICS, kinds)}


def wrong_nan_where_nothing_is(results, dataset):
    numbers = meant(results, dataset)
    return {name: float("nan") if value < 0 else value for name, value in numbers.items()}


def wrong_nought_where_nothing_is(results, dataset):
    return {name: max(0.0, value) for name, value in meant(results, dataset).items()}


def wrong_absent_class_counts_nought(results, dataset):
    found = columns_of(results)
    samples = [_samples(found, dataset, one) for one in dataset.category_ids]
    table = np.array([[_class_numbers(one, *area) for area in AREAS] for one in samples]).clip(min=0)
    ap, recall = table[..., 0], table[..., 1:]
    kinds = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], *(ap[:, area] for area in (1, 2, 3))]
    kinds += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    return {name: float(kind.mean()) for name, kind in zip(METRICS, kinds)}


def wrong_all_classes_at_once(results, dataset):
    found = columns_of(results)
    samples = [sample for one in dataset.category_ids for sample in _samples(found, dataset, one)]
    table = np.array([[_class_numbers(samples, *area) for area in AREAS]])
    ap, recall = table[..., 0], table[..., 1:]
    kinds = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], *(ap[:, area] for area in (1, 2, 3))]
    kinds += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    means = [float(kind[kind >= 0].mean()) if (kind >= 0).any() else -1.0 for kind in kinds]
    return dict(zip(METRICS, means))


def wrong_six_numbers(results, dataset):
    return {name: value for name, value in meant(results, dataset).items() if name.startswith("AP")}


def wrong_ap50_for_ap(results, dataset):
    numbers = meant(results, dataset)
    return numbers | {"AP": numbers["AP50"]}


def wrong_sizes_turned(results, dataset):
    numbers = meant(results, dataset)
    return numbers | {"AP_small": numbers["AP_large"], "AP_large": numbers["AP_small"]}


def wrong_in_another_order_of_counts(results, dataset):
    numbers = meant(results, dataset)
    return numbers | {"AR_1": numbers["AR_100"], "AR_100": numbers["AR_1"]}


def right_means_class_by_class(results, dataset):
    found, rows = columns_of(results), []
    for category_id in dataset.category_ids:
        samples = _samples(found, dataset, category_id)
        by_area = [_class_numbers(samples, *area) for area in AREAS]
        whole = by_area[0]
        row = [whole[:, 0].mean(), whole[0, 0], whole[5, 0], *(one[:, 0].mean() for one in by_area[1:])]
        row += [*(whole[:, 1 + count].mean() for count in range(3)), *(one[:, 3].mean() for one in by_area[1:])]
        rows.append(row)
    columns = np.array(rows).T
    return {
        name: float(column[column > -0.5].mean()) if (column > -0.5).any() else -1.0
        for name, column in zip(METRICS, columns)
    }


def right_by_the_engine(results, dataset):
    return score(results, dataset)
