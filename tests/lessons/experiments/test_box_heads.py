from types import SimpleNamespace

import pytest
import torch
from torch import nn

from coursekit.detector import BoxHead
from coursekit.lessons.experiments.box_heads import train_heads

CHANNELS = CLASSES = 3


def _cached(seed):
    """Eight images, each with two boxes of one class: the class's channel of the image's map is 5, the others are 0."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(1, CLASSES + 1, (8,), generator=generator)
    level = 5 * torch.eye(CHANNELS)[classes - 1][:, :, None, None] * torch.ones(6, 6)
    targets = [{"boxes": torch.tensor([[0.0, 0, 16, 16]] * 2), "labels": label.repeat(2)} for label in classes]
    return SimpleNamespace(maps=[level], strides=[8], targets=targets)


def _right(levels, strides, boxes):
    return torch.cat(
        [level[:, :1, :1].expand(len(b), CHANNELS, 7, 7) for level, b in zip(levels[0], boxes, strict=True)]
    )


def _empty(levels, strides, boxes):
    return torch.zeros_like(_right(levels, strides, boxes))


@pytest.fixture
def trained(capsys):
    ways = {"right": _right, "empty": _empty}
    return train_heads(ways, lambda: BoxHead(CHANNELS, CLASSES, 16), nn.Identity(), _cached(0), _cached(1), epochs=60)


def test_a_head_learns_from_right_patches_and_not_from_empty_ones(trained):
    assert trained["right"].accuracy == 1
    assert trained["right"].losses[-1] < 0.5 * trained["empty"].losses[-1]
    assert len(trained["right"].losses) == 60


def test_the_table_says_what_is_empty_and_what_guessing_would_give(capsys):
    ways = {"right": _right, "empty": _empty}
    train_heads(ways, lambda: BoxHead(CHANNELS, CLASSES, 16), nn.Identity(), _cached(0), _cached(1), epochs=1)
    _, right, empty, common = capsys.readouterr().out.splitlines()[:4]
    assert right.split()[:2] == ["right", "0%"]
    assert empty.split()[:2] == ["empty", "100%"]
    labels = torch.cat([target["labels"] for target in _cached(1).targets])
    assert f"{torch.bincount(labels).max() / len(labels):.0%} would be correct" in common


def test_the_short_form_says_that_its_numbers_mean_little(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    train_heads({"right": _right}, lambda: BoxHead(CHANNELS, CLASSES, 16), nn.Identity(), _cached(0), _cached(1), 1)
    assert capsys.readouterr().out.splitlines()[-1].startswith("Short form (COURSEKIT_FAST=1)")
