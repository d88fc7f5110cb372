import pytest
import torch
from torch import nn

from coursekit.data import load
from coursekit.lessons.experiments.crops import (
    SIDE,
    SMALLEST,
    Crops,
    accuracy,
    batches_of_two,
    cut_out,
    features_of,
    new_body,
    normalized,
    train_all,
    train_head,
)


@pytest.fixture(scope="module")
def train():
    return cut_out(load("mini", "train").head(6))


@pytest.fixture(scope="module")
def test():
    return cut_out(load("mini", "val").head(3))


def test_objects_that_are_not_tiny_are_cut_out(capsys):
    dataset = load("mini", "train").head(6)
    crops = cut_out(dataset)
    sides = [(target["boxes"][:, 2:] - target["boxes"][:, :2]).amax(1) for _, target in dataset]
    labels = torch.cat(
        [target["labels"][1.1 * side.floor() + 1 > SMALLEST] for (_, target), side in zip(dataset, sides, strict=True)]
    )
    assert abs(len(crops.labels) - len(labels)) <= 1
    assert crops.images.shape[1:] == (3, SIDE, SIDE)
    assert capsys.readouterr().out == f"{len(crops.labels)} objects from 6 images\n"


def test_a_crop_shows_its_object(train):
    dataset = load("mini", "train").head(1)
    image, target = dataset[0]
    x1, y1, x2, y2 = target["boxes"][0].tolist()
    around = normalized(image)[:, int(y1) : int(y2), int(x1) : int(x2)].mean((1, 2))
    assert (train.images[0].mean((1, 2)) - around).abs().max() < 0.6
    title, (pixels, boxes, names) = next(iter(train.panels(2).items()))
    assert title == f"1: {train.classes[train.labels[0]]}"
    assert (pixels.dtype, boxes, names) == (torch.uint8, None, [])


def test_accuracy_is_the_share_of_right_answers():
    class Body(nn.Module):
        def forward(self, images):
            return [images]

    crops = Crops(torch.eye(3)[[0, 1, 2, 2]][:, :, None, None], torch.tensor([0, 1, 2, 0]), ["a", "b", "c"])
    assert accuracy(Body(), lambda features: features, crops) == 0.75


def test_training_changes_what_is_not_frozen_and_says_how_it_went(train, test, capsys):
    body = new_body(pretrained=False)
    body.conv_stem.requires_grad_(False)
    before = [body.conv_stem.weight.clone(), body.blocks[6][0].conv_pw.weight.clone()]
    learned = train_all("mine", body, train, test, 2, batch=4, look_every=1)
    assert torch.equal(before[0], body.conv_stem.weight)
    assert not torch.equal(before[1], body.blocks[6][0].conv_pw.weight)
    assert [step for step, _ in learned.curve] == [1, 2]
    assert capsys.readouterr().out.split()[:3] == ["mine", f"{learned.accuracy:.0%}", "of"]


def test_frozen_norms_keep_their_statistics(train, test):
    body = new_body(pretrained=False)
    before = body.bn1.running_mean.clone()
    train_all("", body, train, test, 1, batch=4, norm_frozen=True)
    assert torch.equal(before, body.bn1.running_mean)
    train_all("", body, train, test, 1, batch=4)
    assert not torch.equal(before, body.bn1.running_mean)


def test_a_head_learns_the_objects_it_has_seen(train):
    body = new_body(pretrained=True)
    weights = [parameter.clone() for parameter in body.parameters()]
    learned = train_head("mine", body, train, train, 40)
    assert learned.accuracy > 0.9
    assert all(map(torch.equal, weights, body.parameters()))
    assert learned.classify(features_of(body, train.images[:2])).shape == (2, len(train.classes))


@pytest.mark.slow
def test_each_pair_of_learning_rate_and_mode_is_trained(train, test, capsys):
    shares = batches_of_two(train, test, (1e-3, 1e-2), (False, True), 1)
    assert list(shares) == [(1e-3, False), (1e-3, True), (1e-2, False), (1e-2, True)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["learning", "rate", "by", "the", "batch", "frozen"]
    assert lines[1].split() == ["0.001", f"{shares[1e-3, False]:.0%}", f"{shares[1e-3, True]:.0%}"]
