"""What runs on a GPU only, beside what the CPU computes."""

import math
from dataclasses import replace

import pytest
import torch

from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.detector import batch_nms, build_detector
from coursekit.detector.batch_matching import match, random_keys, sample
from coursekit.training import TrainConfig
from coursekit.training.forward_backward import forward_backward
from coursekit.training.launches import count_launches
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import start_run
from coursekit.training.torch_compile import compile_dense

pytestmark = pytest.mark.gpu

SIZE, CLASSES = 128, 16
CPU = torch.device("cpu")


def _detector(**options):
    torch.manual_seed(0)
    return build_detector(num_classes=CLASSES, size=SIZE, channels=16, hidden=16, pretrained=False, **options)


def _batch(count=3):
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(256, (3, SIZE, SIZE - 16 * n), generator=generator, dtype=torch.uint8) for n in range(count)
    ]
    boxes = torch.tensor([[4.0, 6.0, 60.0, 50.0], [30.0, 40.0, 90.0, 100.0]])
    empty = boxes[:0]
    return images, [
        {"boxes": boxes[: n % 3], "labels": torch.tensor([3, 9])[: n % 3], "crowd_boxes": empty, "image_id": n}
        for n in range(count)
    ]


def _run(device, model=None, **options):
    config = TrainConfig(**{"precision": "fp32", "batch_size": 3} | options)
    return start_run(model or _detector(), load("mini", "train").head(3), config, device, lambda: "Buy a card.")


def _weights(run):
    return {name: value.detach().cpu().clone() for name, value in run.model.state_dict().items()}


def _losses(run, *batch):
    run.record_step(*optimizer_step(run, *batch))
    run.read_steps()
    return run.history[-1].losses


# Batched twins


def test_random_samples_have_the_same_bits(device):
    seeds, ids = torch.tensor([0, 7, 2**32 - 1]), torch.arange(5000)
    expected = random_keys(seeds, ids, 300, 40)
    found = random_keys(seeds.to(device), ids.to(device), 300, 40)
    assert all(torch.equal(here.cpu(), there) for here, there in zip(found, expected, strict=True))
    matches = (expected[0] % 11 - 2).clamp(max=4)
    drawn = sample(matches.to(device), found[0], 256, 0.5)
    assert torch.equal(drawn.index.cpu()[drawn.is_real.cpu()], _drawn(matches, expected[0]))


def _drawn(matches, keys):
    drawn = sample(matches, keys, 256, 0.5)
    return drawn.index[drawn.is_real]


def test_matching_finds_the_same(device):
    torch.manual_seed(0)
    corner = 100 * torch.rand(4, 700, 2)
    boxes = torch.cat([corner, corner + 2 + 40 * torch.rand_like(corner)], 2)
    anchors, gt = boxes[0], boxes[1:, :90]
    expected = match(anchors.double(), gt.double(), 0.7, 0.3, True)
    assert torch.equal(match(anchors.double().to(device), gt.double().to(device), 0.7, 0.3, True).cpu(), expected)


def test_nms_in_one_call_keeps_what_a_call_for_each_group_keeps(device):
    torch.manual_seed(0)
    images, counts = 8, [40] * 80
    corner = 300 * torch.rand(images, sum(counts), 2)
    boxes = torch.cat([corner, corner + 3 + 40 * torch.rand_like(corner)], 2)
    scores = torch.rand(images, sum(counts))
    one_call = batch_nms._nms_in_one_call(boxes.to(device), scores.to(device), counts, 0.5)
    assert torch.equal(one_call.cpu(), batch_nms._nms_by_group(boxes, scores, counts, 0.5))


def test_losses_and_gradients_are_those_of_the_cpu(device):
    """In float64: in float32, rounding could change which boxes NMS keeps."""
    images, targets = _batch()
    results = []
    for where in (device, CPU):
        model = _detector().double().to(where).train()
        inputs = [image.to(where).double() / 255 for image in images]
        gt = [{"boxes": target["boxes"].double().to(where), "labels": target["labels"].to(where)} for target in targets]
        losses = forward_backward(lambda m=model, i=inputs, t=gt: m(i, t, seeds=[1, 2, 3]), where, "fp32")
        gradients = {name: value.grad.cpu() for name, value in model.named_parameters() if value.grad is not None}
        results.append(({name: loss.item() for name, loss in losses.items()}, gradients))
    (losses, gradients), (expected, expected_gradients) = results
    assert losses == pytest.approx(expected, rel=1e-6)
    for name, gradient in gradients.items():
        assert (gradient - expected_gradients[name]).norm() <= 1e-6 * expected_gradients[name].norm() + 1e-10, name


def test_detections_are_those_of_the_cpu(device):
    model = _detector().double().eval()
    model.options = replace(model.options, box_score_thresh=0.01)
    images = [image.double() / 255 for image in _batch()[0]]
    with torch.inference_mode():
        expected = model(images)
        found = model.to(device)([image.to(device) for image in images])
    for here, there in zip(found, expected, strict=True):
        torch.testing.assert_close({name: values.cpu() for name, values in here.items()}, there, rtol=0, atol=1e-6)


# The trainer's step


def test_a_step_of_the_trainer_is_that_of_the_cpu(device):
    """Images cross to the device in pinned memory, without waiting; the losses show that they have arrived."""
    batch = _batch()
    expected, found = (_losses(_run(where), *batch) for where in (CPU, device))
    assert found == pytest.approx(expected, rel=2e-2)  # the GPU computes in TF32


def test_many_steps_in_a_row_read_their_own_images(device):
    """A buffer that is written again before it has been read would show in the losses."""
    batches = [_batch(), _batch(1), _batch(2), _batch()] * 2
    options = {"lr": 1e-8}
    run, careful = _run(device, **options), _run(device, **options)
    for batch in batches:
        run.record_step(*optimizer_step(run, *batch))
        run.read_steps(ahead=1)
        _losses(careful, *batch)
    run.read_steps()
    for late, read_at_once in zip(run.history, careful.history, strict=True):
        assert late.losses == pytest.approx(read_at_once.losses, rel=1e-3)


def test_a_bad_loss_is_noticed_late_and_leaves_the_weights_from_before(device):
    run = _run(device)
    _losses(run, *_batch())
    before = _weights(run)
    mend = _break(run.model)
    for _ in range(2):
        run.record_step(*optimizer_step(run, *_batch()))
    with pytest.raises(CourseError, match=r"NaN or infinite .* on the images 0, 1, 2"):
        run.read_steps()
    mend()
    after = _weights(run)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert run.steps == 1


def _break(model):
    """Make the losses infinite, and return a function that undoes it."""
    losses = model.losses
    model.losses = lambda *args: {name: loss * math.inf for name, loss in losses(*args).items()}
    return lambda: delattr(model, "losses")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(device, precision):
    run = _run(device, precision=precision, lr=1e-3)
    for _ in range(12):
        losses = _losses(run, *_batch())
    assert sum(losses.values()) < run.history[0].loss
    assert run.scaler.is_enabled() == (precision == "fp16")


def test_fp16_skips_a_step_with_infinite_gradients_and_goes_on(device):
    run = _run(device, precision="fp16")
    run.scaler = torch.amp.GradScaler(device.type, init_scale=2.0**40)  # so large that gradients overflow
    before = _weights(run)
    _losses(run, *_batch())
    after = _weights(run)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert run.scaler.get_scale() < 2.0**40


def test_checkpointed_activations_give_the_same_gradients(device):
    gradients = []
    for checkpoints in (False, True):
        run = _run(device, checkpoint_activations=checkpoints, batch_size=1)
        inputs = [image.to(device) / 255 for image in _batch(1)[0]]
        gt = [{"boxes": torch.tensor([[4.0, 6, 60, 50]], device=device), "labels": torch.tensor([3], device=device)}]
        forward_backward(lambda r=run, i=inputs, t=gt: r.model(i, t, seeds=[1]), device, "fp32")
        gradients.append([value.grad for value in run.model.parameters() if value.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-3, atol=1e-5)


def test_checkpointed_activations_take_less_memory(cuda):
    peaks = []
    for checkpoints in (False, True):
        torch.cuda.empty_cache()
        run = _run(cuda, checkpoint_activations=checkpoints)
        torch.cuda.reset_peak_memory_stats()
        _losses(run, *_batch())
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < peaks[0]


def test_a_compiled_dense_part_gives_the_same(cuda):
    model = _detector().to(cuda).train()
    batch = torch.randn(2, 3, SIZE, SIZE, device=cuda).contiguous(memory_format=torch.channels_last)
    expected = model.dense(batch)
    messages = compile_dense(model, use_cuda_graph=True)
    for _ in range(4):  # the first calls compile, and record the graph
        levels, logits, deltas = model.dense(batch)
        (logits.sum() + deltas.sum() + sum(level.sum() for level in levels)).backward()
    assert not messages
    torch.testing.assert_close((levels, logits, deltas), tuple(expected), rtol=1e-2, atol=1e-3)


def test_a_step_seldom_waits(device):
    run, batch = _run(device), _batch()
    for _ in range(2):
        _losses(run, *batch)
    with count_launches(device) as counted:
        run.record_step(*optimizer_step(run, *batch))
    assert counted.waits <= 6, counted.waited
