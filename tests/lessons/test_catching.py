import pytest
import torch

from coursekit.errors import SettingError
from coursekit.lessons.catching import catch

CHAIN = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])


def test_a_weak_input_lets_wrong_answers_through():
    found = catch("nms", (CHAIN[:1], torch.tensor([0.5]), 0.5))
    assert any("one-shot" in one for one in found.through)
    assert "Look at this case" in str(found)


def test_a_chain_catches_the_one_shot():
    found = catch("nms", (CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4))
    assert any("one-shot" in one for one in found.caught)
    assert "of 11" in str(found)
    assert "<table>" in found._repr_html_()


def test_inputs_must_be_tuples_that_the_reference_can_take():
    with pytest.raises(SettingError, match="tuple of arguments"):
        catch("nms", CHAIN)
    with pytest.raises(SettingError, match="can't take"):
        catch("nms", (CHAIN, "no scores", 0.5))
