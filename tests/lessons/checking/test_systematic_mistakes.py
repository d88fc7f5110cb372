import pytest
import torch

from coursekit.detector import axis_weights, level_for_box, postprocess, roi_align
from coursekit.from_scratch.average_precision import average_precision, precision_recall
from coursekit.lessons.checking.verdict import examine
from coursekit.lessons.exercises import EXERCISES


def no_gradient_by_numpy(features, *args):
    return torch.from_numpy(roi_align(features, *args).detach().numpy())


def on_the_cpu(lo, hi, *args):
    weights = axis_weights(lo, hi, *args)
    return weights * torch.ones(weights.shape[-1], dtype=lo.dtype)


def neither_device_nor_dtype(lo, hi, size, output_size=7, sampling_ratio=2):
    steps = torch.arange(output_size * sampling_ratio).float()
    bin_size = (hi - lo).clamp(min=1.0) / output_size
    points = lo[:, None] + (steps + 0.5) / sampling_ratio * bin_size[:, None]
    on_map = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return (tents * on_map[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


SYSTEMATIC = {
    "a factor": ("average_precision", lambda *args: average_precision(*args) / 2, "always 0.5 times"),
    "a factor in one part": (
        "precision_recall",
        lambda *args: (precision_recall(*args)[0], 2 * precision_recall(*args)[1]),
        "recall: always 2 times",
    ),
    "the sign": ("average_precision", lambda *args: -average_precision(*args), "the sign is wrong"),
    "the dtype": ("level_for_box", lambda *args: level_for_box(*args).short(), "always int16"),
    "the order": ("axis_weights", lambda *args: axis_weights(*args).flip(-1), "the right numbers in another order"),
    "a device": ("axis_weights", on_the_cpu, "it is right on the CPU"),
    "neither device nor dtype": ("axis_weights", neither_device_nor_dtype, "a new tensor without device=…"),
    "no gradient": ("roi_align", no_gradient_by_numpy, "no gradient"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SYSTEMATIC)
def test_a_mistake_that_is_the_same_on_every_case_is_named(kind):
    name, answer, words = SYSTEMATIC[kind]
    verdict = examine(EXERCISES[name], answer)
    assert verdict.state == "not yet"
    assert words in verdict.likely


@pytest.mark.slow
def test_an_answer_that_is_wrong_in_several_ways_is_not_named():
    def answer(logits, *args):
        found = postprocess(logits, *args)
        return found | {"scores": found["scores"] ** 2, "boxes": found["boxes"] + 1}

    assert examine(EXERCISES["postprocess"], answer).likely == ""
