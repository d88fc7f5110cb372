import pytest

from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.experiments.step_memory import (
    chain_of,
    count_beside_torch,
    detectors,
    one_by_one,
    predicted,
    some_steps,
)
from coursekit.memory import StepConfig

LAYERS = [(3, 8, 3, 2), (8, 16, 3, 2), (16, 4, 1, 1)]
LITE0 = "tf_efficientnet_lite0"


def test_the_first_layers_of_a_chain_are_frozen():
    chain = chain_of(LAYERS, frozen=2)
    assert [parameter.requires_grad for parameter in chain.parameters()] == [False, False, True]


def test_paper_and_pytorch_agree(capsys):
    count_beside_torch(EXERCISES["count_memory"].reference, LAYERS, (2, 9, 14))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert all(counted == kept for _, counted, kept, _ in rows)
    assert rows[-1][1] == "0"
    count_beside_torch(lambda *_: {"activations": 7}, LAYERS, (2, 9, 14))
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["7"] * 4


@pytest.mark.slow
def test_a_larger_image_takes_more_operations_and_memory(capsys):
    detectors({"Lite0": LITE0}, [(128, 128), (256, 256)], batch=1, frozen_stages=0, precision="fp32")
    small, large = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert small[0] == "Lite0"
    assert float(large[6]) > 2.5 * float(small[6])
    assert float(large[8]) > float(small[8])


@pytest.mark.slow
def test_each_step_is_predicted_by_name():
    peaks = predicted({"one": StepConfig(LITE0, (64, 64), 1), "two": StepConfig(LITE0, (64, 64), 2)})
    assert list(peaks) == ["one", "two"]
    assert peaks["two"].activations > peaks["one"].activations


def test_a_name_after_steps_that_were_left_out_says_so():
    steps = {name: StepConfig(batch=batch) for batch, name in enumerate(("as built", "a", "b", "c", "d"), 1)}
    some = some_steps(steps, ["c", "a", "d", "typo"])
    assert list(some) == ["as built", "a", "all up to c", "d"]
    assert [config.batch for config in some.values()] == [1, 2, 4, 5]
    assert list(some_steps(steps, [])) == ["as built"]


def test_each_change_stays_for_those_after_it():
    first = StepConfig(batch=1, channels=256)
    ladder = one_by_one(first, {"as built": {}, "narrow": {"channels": 96}, "+ 4 images": {"batch": 4}})
    assert list(ladder) == ["as built", "narrow", "+ 4 images"]
    assert ladder["as built"] == first
    assert (ladder["+ 4 images"].channels, ladder["+ 4 images"].batch) == (96, 4)
