import math

import pytest
import torch
from torch import nn

from coursekit.data import load
from coursekit.errors import CourseError, SettingError
from coursekit.training import Settings, train, warmup_cosine
from coursekit.training.loop import make_optimizer


def test_warmup_then_cosine():
    factors = [warmup_cosine(step, 100, 10) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1
    assert all(a < b for a, b in zip(factors[:10], factors[1:11], strict=True))
    assert all(a > b for a, b in zip(factors[10:100], factors[11:], strict=True))
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)


def test_the_same_seed_trains_the_same_weights(coco_folder, tiny_detector):
    dataset = load(coco_folder, "train")
    state = {name: value.clone() for name, value in tiny_detector.state_dict().items()}
    runs = []
    for _ in range(2):
        tiny_detector.load_state_dict(state)
        train(tiny_detector, dataset, Settings(epochs=2, batch_size=2))
        runs.append({name: value.clone() for name, value in tiny_detector.state_dict().items()})
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in state)
    assert any(not torch.equal(runs[0][name], state[name]) for name in state)


def test_history_counts_steps_and_images(coco_folder, tiny_detector):
    history = train(tiny_detector, load(coco_folder, "train"), Settings(epochs=2, batch_size=2))
    assert [step.step for step in history] == [1, 2, 3, 4]
    assert history[-1].images == 6
    assert all(math.isclose(step.loss, sum(step.losses.values())) for step in history)


def test_norms_and_biases_are_not_decayed_and_the_backbone_learns_slower(tiny_detector):
    optimizer = make_optimizer(tiny_detector, Settings(lr=1e-2, backbone_lr=1e-3, weight_decay=0.1))
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in tiny_detector.named_parameters():
        if parameter.requires_grad:
            group = group_of.pop(id(parameter))
            assert group["lr"] == (1e-3 if ".body." in name else 1e-2), name
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0), name
    assert not group_of


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"batch_size": 0}, {"lr": -1.0}, {"lr": math.nan}, {"lr": math.inf}]
)
def test_bad_settings_are_named(coco_folder, tiny_detector, setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        train(tiny_detector, load(coco_folder, "train"), Settings(**setting))


class Diverging(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, images, targets):
        return {"loss_good": self.weight.sum(), "loss_bad": self.weight.sum() * math.nan}


def test_a_loss_that_is_no_number_is_named_and_the_weights_stay(coco_folder):
    model = Diverging()
    with pytest.raises(CourseError, match=r"loss_bad = nan\) on the images \d+"):
        train(model, load(coco_folder, "train"), Settings(batch_size=1))
    assert model.weight.tolist() == [1, 1]
