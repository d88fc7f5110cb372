import threading

import pytest
import torch

from coursekit.lessons.experiments.side_by_side import side_by_side

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def two_threads():
    """Also where the suite itself runs with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items():
    later = threading.Event()

    def work(item):
        if item == 0:
            assert later.wait(10)  # the first ends last
        if item == 1:
            later.set()
        return item * 10

    assert side_by_side(work, [0, 1, 2]) == [0, 10, 20]
    assert side_by_side(abs, [-1]) == [1]
    assert side_by_side(abs, []) == []


def test_each_call_has_one_thread_and_afterward_all_is_as_before():
    assert side_by_side(lambda _: torch.get_num_threads(), range(4)) == [1] * 4
    assert torch.get_num_threads() == 2


def test_the_same_numbers_each_time():
    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.zeros(20, 20, requires_grad=True)
        for _ in range(20):
            x = torch.randn(50, 20, generator=generator)
            (x @ weight - x.sin()).square().mean().backward()
            with torch.no_grad():
                weight -= 0.1 * weight.grad
            weight.grad = None
        return weight.detach()

    first, again = (side_by_side(work, range(6)) for _ in range(2))
    for value, other in zip(first, again, strict=True):
        assert torch.equal(value, other)
    assert not torch.equal(first[0], first[1])


def test_an_error_comes_out_and_the_threads_come_back():
    def work(item):
        raise ValueError(f"run {item}")

    with pytest.raises(ValueError, match="run 0"):
        side_by_side(work, range(3))
    assert torch.get_num_threads() == 2
