import pytest

from coursekit.data import load
from coursekit.lessons.experiments.untrained_rpn import untrained_rpn


@pytest.mark.slow
def test_few_of_its_proposals_fit_an_object(capsys):
    dataset = load("mini", "val").head(4)
    found, useful = untrained_rpn(dataset, size=128)
    assert 0 <= useful < 0.1
    assert useful <= found < 0.8
    objects = sum(len(dataset.target(i)["boxes"]) for i in range(4))
    assert f"{found:.0%} of {objects} objects have a proposal that fits" in capsys.readouterr().out
