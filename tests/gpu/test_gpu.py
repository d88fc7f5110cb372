"""What only a CUDA machine can show. `pytest -m gpu`; elsewhere all of it is skipped."""

import pytest
import torch

from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.training import Hook, TrainConfig, train
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import start_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def _model(size=320):
    torch.manual_seed(0)
    return build_detector(num_classes=16, size=size)


class Shares(Hook):
    def after_run(self, run):
        self.run = run


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_trains_in_each_precision(precision):
    shares = Shares()
    history = train(
        _model(), load("mini", "train").head(80), TrainConfig(epochs=3, precision=precision), hooks=[shares]
    )
    assert history[-1].loss < history[0].loss
    assert shares.run.scaler.is_enabled() == (precision == "fp16")
    assert all(seconds > 0 for seconds in shares.run.clock.seconds.values())


def test_a_real_lack_of_memory_is_survived_with_the_same_batch():
    run = start_run(_model(), load("mini", "train"), TrainConfig(batch_size=16), None, lambda: "")
    batch = next(loaded for loaded in run.loader.epoch(0) if len(loaded[0]) == 16)
    optimizer_step(run, *batch)  # what a step takes in all
    peak = torch.cuda.max_memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.7 * peak / total)
    try:
        _, images = optimizer_step(run, *batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert images == 16
    assert run.micro_batch < 16
    assert run.events


def test_where_nothing_fits_the_message_says_what_to_do():
    run = start_run(_model(), load("mini", "train"), TrainConfig(batch_size=2), None, lambda: "Buy a card.")
    torch.cuda.set_per_process_memory_fraction(1e-3)
    try:
        with pytest.raises(CourseError, match="Buy a card"):
            optimizer_step(run, *next(iter(run.loader.epoch(0))))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_it_compiles():
    shares = Shares()
    train(_model(), load("mini", "train").head(40), TrainConfig(epochs=1, compile=True), hooks=[shares])
    assert not any("torch.compile" in event for event in shares.run.events)


def test_the_gpu_finds_what_the_cpu_finds():
    model, image = _model().eval(), load("mini", "val")[3][0] / 255
    with torch.inference_mode():
        here = model([image])[0]
        there = model.cuda()([image.cuda()])[0]
    assert len(here["boxes"]) == pytest.approx(len(there["boxes"]), abs=2)
