"""Losses are checked on the device and read late."""

import math

import pytest
import torch

from coursekit.core.errors import CourseError
from coursekit.training.step_losses import StepLosses, sum_over_processes


def _losses(*parts):
    losses = StepLosses()
    for number, values in enumerate(parts):
        named = {f"loss_{name}": torch.tensor(value) for name, value in zip("ab", values, strict=True)}
        losses.add(named, 0.5, [10 * number, 10 * number + 1])
    return losses


def _read(losses):
    losses.send()
    return losses.read()


def test_the_total_is_the_weighted_sum_over_micro_batches():
    losses = _losses((1.0, 4.0), (3.0, 8.0))
    assert losses.is_bad() == 0.0
    assert _read(losses) == {"loss_a": 2.0, "loss_b": 6.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_bad_loss_is_named_with_the_images_of_its_micro_batch(value):
    losses = _losses((1.0, 4.0), (3.0, value))
    assert losses.is_bad() == 1.0
    with pytest.raises(CourseError, match=rf"infinite \(loss_b = {value}\) on the images 10, 11\. Try a tenth"):
        _read(losses)


def test_two_infinities_do_not_cancel_out():
    losses = _losses((math.inf, -math.inf))
    assert losses.is_bad() == 1.0
    with pytest.raises(CourseError, match=r"loss_a = inf, loss_b = -inf"):
        _read(losses)


def test_half_precision_is_read_in_float32():
    losses = StepLosses()
    losses.add({"loss_a": torch.tensor(60000.0, dtype=torch.float16)}, 1.0, [1])
    losses.add({"loss_a": torch.tensor(60000.0, dtype=torch.float16)}, 1.0, [2])
    assert losses.is_bad() == 0.0
    assert _read(losses) == {"loss_a": pytest.approx(120000, rel=1e-3)}


def test_a_process_without_images_has_losses_of_zero(monkeypatch):
    summed = []
    monkeypatch.setattr("coursekit.core.distributed.all_reduce_sum", summed.extend)
    losses, gradient = StepLosses(), torch.ones(3)
    sum_over_processes(losses, [gradient], ["loss_a", "loss_b"])
    assert [tensor.tolist() for tensor in summed] == [[0, 0], [1, 1, 1]]
    assert _read(losses) == {"loss_a": 0.0, "loss_b": 0.0}


def test_a_bad_loss_of_another_process_stops_this_one_too(monkeypatch):
    monkeypatch.setattr("coursekit.core.distributed.all_reduce_sum", lambda tensors: tensors[0].add_(math.nan))
    losses = _losses((1.0, 4.0))
    sum_over_processes(losses, [], losses.names)
    assert losses.is_bad() == 1.0
    with pytest.raises(CourseError, match="in another process"):
        _read(losses)
