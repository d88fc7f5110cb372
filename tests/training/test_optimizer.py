import pytest
import torch

from coursekit.training import TrainConfig, warmup_cosine
from coursekit.training.optimizer import make_optimizer


def test_warmup_then_cosine():
    factors = [warmup_cosine(step, 100, 10) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1
    assert all(a < b for a, b in zip(factors[:10], factors[1:11], strict=True))
    assert all(a > b for a, b in zip(factors[10:100], factors[11:], strict=True))
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)


def test_without_warmup_or_without_cosine():
    assert [round(warmup_cosine(step, 4, 0), 3) for step in range(5)] == [1, 0.854, 0.5, 0.146, 0]
    assert [warmup_cosine(step, 3, 3) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert warmup_cosine(7, 3, 0) == 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_norms_and_biases_have_no_decay_and_the_backbone_a_smaller_rate(tiny_detector, optimizer):
    made = make_optimizer(tiny_detector, TrainConfig(lr=1e-2, backbone_lr=1e-3, weight_decay=0.1, optimizer=optimizer))
    assert type(made) is {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    group_of = {id(p): group for group in made.param_groups for p in group["params"]}
    for name, parameter in tiny_detector.named_parameters():
        if parameter.requires_grad:
            group = group_of.pop(id(parameter))
            assert group["lr"] == (1e-3 if name.startswith("backbone.") else 1e-2), name
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0), name
    assert not group_of
