import torch
from torch import nn

from coursekit.training.launches import count_launches


def test_views_and_allocations_launch_nothing():
    numbers = torch.arange(12.0)
    with count_launches() as counted:
        numbers.view(3, 4).t()[1:].unsqueeze(0).expand(2, -1, -1).unbind(1)
        torch.empty(5), torch.empty_like(numbers), numbers.new_empty(2)
    assert (counted.launches, counted.waits) == (0, 0)


def test_forward_backward_and_the_optimizer_count():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    with count_launches() as counted:
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    assert counted.launched["addmm"] == 1  # forward
    assert counted.launched["mm"] == 1  # backward
    assert counted.launched["_fused_sgd_"] == 1
    assert counted.waits == 0


def test_results_that_python_needs_are_waits():
    numbers = torch.tensor([3.0, -1.0, 2.0])
    waits = {
        "a mask": lambda: numbers[numbers > 0],
        "an assignment by mask": lambda: numbers.clone().__setitem__(numbers > 0, numbers[:2]),
        "nonzero": lambda: numbers.nonzero(),
        "where": lambda: torch.where(numbers > 0),
        "a number for where": lambda: torch.where(numbers > 0, numbers, 0.0),
        "item": lambda: numbers[0].item(),
        "a condition": lambda: bool(numbers[0] > 0),
        "a list": lambda: numbers.tolist(),
        "an array": lambda: numbers.numpy(),
        "unique": lambda: numbers.unique(),
        "equal": lambda: torch.equal(numbers, numbers),
    }
    for name, use in waits.items():
        with count_launches() as counted:
            use()
        assert counted.waits == 1, name


def test_fixed_shapes_do_not_wait():
    numbers, index = torch.tensor([3.0, -1.0, 2.0]), torch.tensor([2, 0])
    with count_launches() as counted:
        numbers[index], numbers.topk(2), numbers.sort(), numbers.masked_fill(numbers < 0, 0.0)
        torch.where(numbers > 0, numbers, -numbers)
    assert counted.waits == 0
