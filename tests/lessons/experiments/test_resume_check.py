import pytest
import torch

from coursekit.data import load
from coursekit.from_scratch.training import save_and_resume
from coursekit.lessons.experiments import resume_check

pytestmark = pytest.mark.slow


def test_the_right_answer_ends_with_the_same_bits_and_a_wrong_one_does_not(coco_folder, tiny_detector, capsys):
    dataset = load(coco_folder, "train")
    before = tiny_detector.fpn.state_dict()
    weights = {name: value.clone() for name, value in before.items()}
    resume_check.prove(save_and_resume, tiny_detector, dataset, steps=3, killed_in=1)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "killed in step 1; left: checkpoint.pt, its checkpoint"
    assert printed[1] == "resumed with step 1 of 3"
    same, _, total, *_ = printed[2].split()
    assert same == total

    def without_random_numbers(path, parts, train_step, steps):
        first = 0
        if path.exists():
            content = torch.load(path, weights_only=True)
            first = content["step"]
            for name, part in parts.items():
                part.load_state_dict(content["parts"][name])
        for step in range(first, steps):
            train_step(step)
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"parts": states, "step": step + 1}, path)
        return first

    resume_check.prove(without_random_numbers, tiny_detector, dataset, steps=3, killed_in=1)
    same, _, total, *_ = capsys.readouterr().out.splitlines()[2].split()
    assert same != total
    assert all(value.equal(weights[name]) for name, value in tiny_detector.fpn.state_dict().items())
