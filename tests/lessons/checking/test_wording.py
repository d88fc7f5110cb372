import pytest
import torch

from coursekit.lessons.checking.outcome import plain
from coursekit.lessons.checking.wording import shown, shown_args


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.full((20,), 8.0), "a tensor (20,) of float32, all 8.0"),
        (torch.tensor([[0.0, 16.0]]).repeat(20, 1), "a tensor (20, 2) of float32, each row [0.0, 16.0]"),
        (torch.zeros(9).numpy(), "a NumPy array (9,) of float32, all 0.0"),
        (torch.zeros(8), str([0.0] * 8)),
        (torch.arange(9), str([*range(9)])),
        (torch.ones(1, 30), "a tensor (1, 30) of float32"),
        (torch.ones(30, 30), "a tensor (30, 30) of float32"),
        (torch.zeros(0, 4), "[]"),
        (torch.tensor(3), "3"),
    ],
)
def test_a_number_that_is_always_the_same_is_shown_once(value, words):
    assert shown(plain(value)) == words


def test_arguments_are_shown_by_name():
    assert shown_args(["strides"], (torch.full((12,), 8.0),)) == "strides=a tensor (12,) of float32, all 8.0"
