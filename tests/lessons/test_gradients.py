import torch

from coursekit.lessons.checking.outcome import copied
from coursekit.lessons.gradients import NONE, gradients, is_trained, trained


def test_a_gradient_is_that_of_a_sum_in_which_the_order_matters():
    x = torch.ones(3, requires_grad=True)
    assert torch.allclose(gradients(2 * x, {"x": x})["gradient of x"], torch.tensor([1.0, 2, 3]))


def test_where_there_is_none_a_sentence_says_so():
    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    assert gradients([x.detach() + y], {"x": x, "y": y})["gradient of x"] == NONE
    with torch.no_grad():
        assert gradients({"sum": x + y}, {"x": x, "y": y}) == {"gradient of x": NONE, "gradient of y": NONE}


def test_a_case_asks_for_gradients_of_its_floats_also_when_it_is_copied():
    case = trained("words", torch.ones(2), torch.ones(2, dtype=torch.int64), [torch.ones(1)], 3)
    assert is_trained(case.args[:1])
    assert is_trained(case.args[2:3])
    assert not is_trained(case.args[1:2])
    assert is_trained(copied(case.args))
