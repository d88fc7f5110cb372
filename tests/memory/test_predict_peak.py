import functools
import os
import subprocess
import sys
from itertools import accumulate

import msgspec
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from coursekit import memory
from coursekit.core.errors import ConfigError
from coursekit.memory import MemoryCounter, Peak, StepConfig
from coursekit.memory.step import build, make_optimizer, train_step, warm_up
from coursekit.memory.step_config import KINDS

predict = functools.cache(memory.predict)  # several tests ask for the same configs
SMALL = StepConfig("resnet18", size=(64, 96), batch=2, num_classes=4, boxes=5, device="cpu")


def changed(**changes: object) -> StepConfig:
    return msgspec.structs.replace(SMALL, **changes)


def take_steps(config: StepConfig) -> None:
    model = build(config)
    optimizer = make_optimizer(model, config.optimizer)
    warm_up(optimizer)
    corners = torch.rand(config.boxes, 2) * 60
    target = {"boxes": torch.cat([corners, corners + 20], 1), "labels": torch.ones(config.boxes, dtype=torch.int64)}
    for _ in range(2):
        if not config.accumulates:
            optimizer.zero_grad(set_to_none=True)
        images = [torch.rand(3, *config.size) for _ in range(config.batch)]
        train_step(model, optimizer, images, [target] * config.batch, config.precision)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        changed(backbone="tf_efficientnet_lite0", precision="fp32", frozen_stages=0),
        changed(backbone="mobilenetv3_large_100", accumulates=True, optimizer="sgd"),
        changed(size=(128, 128), batch=3, folds_norm=False, channels=64),
        changed(backbone="tf_efficientnet_lite0", size=(160, 160), batch=3, frozen_stages=0, checkpoints=True),
        changed(backbone="tf_efficientnet_lite0", size=(160, 160), batch=3, precision="fp32", kind="fcos"),
        changed(size=(128, 128), batch=2, frozen_stages=0, kind="fcos"),
    ],
    ids=[
        "lite0, fp32",
        "mobilenet, accumulating",
        "resnet18, batch norm not folded",
        "lite0, checkpointing",
        "lite0, fcos",
        "resnet18, fcos",
    ],
)
def test_the_prediction_is_what_the_profiler_measures(config):
    torch.manual_seed(0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        take_steps(config)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    measured = max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    assert predict(config).total == pytest.approx(measured, rel=0.05)


@pytest.mark.slow
def test_the_prediction_is_what_real_tensors_take():
    torch.manual_seed(0)
    with MemoryCounter() as counter:
        take_steps(SMALL)
    assert predict(SMALL).total == pytest.approx(counter.peak, rel=0.03)


LARGER = msgspec.structs.replace(SMALL, size=(256, 256), batch=4, precision="fp32", frozen_stages=0, device="cuda")


@pytest.mark.slow
def test_memory_is_linear_in_the_batch():
    two, four, eight = (predict(msgspec.structs.replace(LARGER, batch=batch)).total for batch in (2, 4, 8))
    assert eight - four == pytest.approx(2 * (four - two), rel=0.08)
    assert eight == pytest.approx(four + 2 * (four - two), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"batch": 2}, {"size": (192, 256)}, {"precision": "bf16"}, {"frozen_stages": 3}], ids=str
)
def test_smaller_steps_take_less(changes):
    assert predict(msgspec.structs.replace(LARGER, **changes)).total < predict(LARGER).total


@pytest.mark.slow
def test_folding_batch_norm_saves_memory():
    assert predict(msgspec.structs.replace(LARGER, folds_norm=False)).total > predict(LARGER).total


@pytest.mark.slow
def test_checkpointing_saves_activations_only():
    whole, recomputed = predict(LARGER), predict(msgspec.structs.replace(LARGER, checkpoints=True))
    assert recomputed.activations < 0.8 * whole.activations
    assert (recomputed.weights, recomputed.optimizer) == (whole.weights, whole.optimizer)


@pytest.mark.slow
def test_padding_counts():
    padded = predict(msgspec.structs.replace(LARGER, size=(225, 250))).total
    assert padded == pytest.approx(predict(LARGER).total, rel=0.02)


@pytest.mark.slow
def test_weights_and_optimizer_are_those_of_the_model():
    model = build(SMALL)
    weights = sum(tensor.numel() * 4 for tensor in [*model.parameters(), *model.buffers()])
    trained = sum(weight.numel() * 4 for weight in model.parameters() if weight.requires_grad)
    adamw, sgd = predict(changed(accumulates=True)), predict(changed(accumulates=True, optimizer="sgd"))
    blocks = 0.03  # share added by rounding many small tensors up to 512 bytes
    assert adamw.weights == pytest.approx(weights, rel=blocks)
    assert adamw.gradients == pytest.approx(trained, rel=blocks)
    assert adamw.optimizer == pytest.approx(2 * trained, rel=blocks)
    assert sgd.optimizer == pytest.approx(trained, rel=blocks)
    assert adamw.total == sum(getattr(adamw, kind) for kind in KINDS)


@pytest.mark.slow
def test_fp16_takes_what_bf16_takes():
    assert predict(changed(precision="fp16")) == predict(SMALL)


@pytest.mark.slow
def test_a_gpu_needs_less_in_half_precision_than_the_cpu():
    lite0 = {"backbone": "tf_efficientnet_lite0", "size": (96, 128)}
    half = changed(**lite0, frozen_stages=0, batch=4)  # on the CPU, depthwise 5×5 convolutions stay in float32
    assert predict(msgspec.structs.replace(half, device="cuda")).total < 0.95 * predict(half).total


@pytest.mark.slow
def test_predicting_takes_no_memory():
    assert predict(changed(size=(12800, 12800), batch=2)).total > 25 * 2**30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"optimizer": "lion"}, "optimizer is 'lion'"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"batch": 0}, "batch is 0"),
        ({"size": (320, 0)}, "width is 0"),
        ({"backbone": "efficientnet_b99"}, "no model of that name"),
        ({"backbone": "maxvit_tiny_tf_224"}, "can't run on 64 × 96 pixels: height"),
    ],
)
def test_unusable_configs_are_named(change, words):
    with pytest.raises(ConfigError, match=words):
        predict(changed(**change))


@pytest.mark.slow
def test_a_peak_survives_json():
    peak = predict(SMALL)
    assert msgspec.json.decode(msgspec.json.encode(peak), type=Peak) == peak


FORK_AFTER_A_PREDICTION = """
import os, torch
from coursekit.memory import StepConfig, predict
predict(StepConfig("resnet18", size=(64, 64), batch=1, num_classes=2, boxes=1, device="cpu"))
child = os.fork()
if child == 0:
    torch.set_num_threads(1)
    torch.ones(1, requires_grad=True).sum().backward()
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1] != 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_prediction_forked_processes_can_run_backward():
    """The checks of a lesson that begins with a plan run in such processes."""
    done = subprocess.run([sys.executable, "-c", FORK_AFTER_A_PREDICTION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
