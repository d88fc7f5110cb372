"""An intern's `real_step` trains as the course's step does, and stops or goes on where that does."""

import copy

import pytest
import torch
from msgspec import structs

from coursekit.core import distributed
from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, CourseError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.workbook.own_parts import PartError
from coursekit.lessons.workbook.own_training_step import files_of_step, step_of, step_of_run, trainer_step
from coursekit.lessons.workbook.trusted_workbooks import digests
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.run_config import RunConfig, load_config
from coursekit.runs.train_or_resume import train_run
from coursekit.training import TrainConfig
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import start_run
from tests.lessons.answers import answer, right_answer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_detector(num_classes=16, size=64, channels=16, hidden=16).double()


@pytest.fixture
def new_run(model):
    """A function that starts the same run each time. In float32, rounding could change what NMS keeps."""
    torch.set_default_dtype(torch.float64)
    config, dataset = TrainConfig(batch_size=4, precision="fp32", flip=False), load("mini", "train").head(40)
    yield lambda: start_run(copy.deepcopy(model), dataset, config, CPU, lambda: "Buy a card.")
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A workbook with a correct `real_step`."""
    workbook = Workbook(tmp_path_factory.mktemp("solved") / "my_detector")
    workbook.store("real_step", right_answer("real_step"))
    assert check(workbook, "real_step").state == "correct"
    return workbook


def _batch(run):
    """A batch of images of several sizes."""
    samples = [run.loader.dataset[index] for index in range(40)]
    by_size = {tuple(image.shape): (image, target) for image, target in samples}
    images, targets = zip(*[*by_size.values(), samples[0]][:4], strict=True)
    return list(images), list(targets)


def _weights(run):
    return {name: weight.detach().clone() for name, weight in run.model.named_parameters()}


def _take(step, run):
    """Take a step, and return its losses as the run reads them."""
    losses, images = step(run, *_batch(run))
    losses.send()
    return losses.read(), images


@pytest.mark.parametrize("micro_batch", [4, 3])
def test_it_takes_the_same_step_as_the_courses(new_run, solved, micro_batch):
    course, own = new_run(), new_run()
    course.micro_batch = own.micro_batch = micro_batch
    expected, actual = _take(optimizer_step, course), _take(trainer_step(solved), own)
    assert actual[0] == pytest.approx(expected[0], rel=1e-5)  # of float32, as the losses are stored
    assert actual[1] == expected[1] == 4
    for name, weight in _weights(course).items():
        torch.testing.assert_close(_weights(own)[name], weight, rtol=1e-6, atol=1e-9, msg=name)


def test_the_run_learns_which_micro_batch_fits(new_run, solved):
    run = new_run()
    run.model.register_forward_pre_hook(_limit(2))
    _take(trainer_step(solved), run)
    assert run.micro_batch == 2
    assert len(run.events) == 1
    assert "From now on 2 images at a time" in run.events[0]


def test_not_even_one_image_is_an_error_with_advice(new_run, solved):
    run = new_run()
    run.model.register_forward_pre_hook(_limit(0))
    with pytest.raises(CourseError, match=r"Not even one image fits .* Buy a card\."):
        _take(trainer_step(solved), run)


def test_other_errors_of_memory_are_retried_too(new_run, solved):
    run = new_run()
    run.model.register_forward_pre_hook(_limit(2, RuntimeError("DefaultCPUAllocator: can't allocate memory")))
    _take(trainer_step(solved), run)
    assert run.micro_batch == 2


def _limit(most, error=None):
    def hook(module, args):
        if len(args[0]) > most:
            raise error or torch.OutOfMemoryError("the card is full")

    return hook


def test_a_loss_of_nan_stops_with_a_sentence_and_moves_nothing(new_run, solved):
    run = new_run()
    with torch.no_grad():
        run.model.rpn_head.get_parameter(next(iter(dict(run.model.rpn_head.named_parameters())))).fill_(float("nan"))
    before = _weights(run)
    with pytest.raises(CourseError, match=r"Your real_step stopped: .* Try a tenth of the learning rate\."):
        _take(trainer_step(solved), run)
    for name, weight in _weights(run).items():
        assert torch.equal(weight, before[name]) or weight.isnan().any()


@pytest.fixture
def failing(workbook):
    """A workbook whose `real_step` passes its check, and fails on images."""
    fails = 'def real_step(model, images, *rest, **more):\n    if images.ndim == 4:\n        raise KeyError("boxes")\n'
    right = right_answer("real_step").replace("def real_step(", "def right(")
    workbook.store("real_step", f"{right}\n\n{fails}    return right(model, images, *rest, **more)\n")
    assert check(workbook, "real_step").state == "correct"
    return workbook


def test_another_error_names_the_function_and_the_way_out(failing, new_run):
    run = new_run()
    with pytest.raises(PartError, match=r"your real_step failed on data .* --reference real_step"):
        trainer_step(failing)(run, *_batch(run))


def test_it_says_whose_step_trains(solved, workbook, capsys, monkeypatch):
    assert step_of(solved) is not None
    assert "real_step          yours (it takes the training steps)" in capsys.readouterr().out
    assert step_of(solved, ["real_step"]) is None
    assert "the course's: as you asked" in capsys.readouterr().out
    assert step_of(solved, compiled=True) is None
    assert "the course's: with --compile, steps need fixed shapes" in capsys.readouterr().out
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    assert step_of(solved) is None
    assert "the course's: several processes" in capsys.readouterr().out
    workbook.begin()
    assert step_of(workbook) is None
    assert capsys.readouterr().out == ""
    workbook.store("real_step", answer("real_step", "wrong_no_scaler"))
    assert step_of(workbook) is None
    assert "the course's: yours is not right yet" in capsys.readouterr().out


def test_a_run_goes_on_with_the_step_that_it_was_started_with(solved, workbook):
    config = RunConfig(
        "mini", [], DetectorConfig(1), TrainConfig(), own_step=True, digests=digests(solved, files_of_step(solved))
    )
    assert step_of_run(structs.replace(config, own_step=False), None) is None
    assert step_of_run(config, solved) is not None
    with pytest.raises(ConfigError, match="name that workbook with --detector"):
        step_of_run(config, None)
    workbook.store("real_step", right_answer("real_step") + "\n# changed\n")
    with pytest.raises(ConfigError, match=r"real_step there is not .* --reference real_step"):
        step_of_run(config, workbook)
    assert step_of_run(config, workbook, ["real_step"]) is None


@pytest.mark.slow
def test_a_run_with_an_own_step_resumes_to_the_same_numbers(coco_folder, tmp_path, solved):
    config = TrainConfig(epochs=2, batch_size=3, precision="fp32", workers=0)
    small = DetectorConfig(0, size=64, channels=16, hidden=16)
    how = {"step": trainer_step(solved), "digests": digests(solved, files_of_step(solved)), "evaluate_every": 0}
    train_run(str(coco_folder), tmp_path / "whole", config, small, **how)
    taken = []

    def stopping(run, images, targets):
        taken.append(run.steps)
        if run.steps == 1 and len(taken) == 2:
            raise KeyboardInterrupt
        return how["step"](run, images, targets)

    with pytest.raises(KeyboardInterrupt):
        train_run(str(coco_folder), tmp_path / "stopped", config, small, **how | {"step": stopping})
    train_run(str(coco_folder), tmp_path / "stopped", config, small, **how, resume=True)
    assert load_config(tmp_path / "stopped").own_step
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]
