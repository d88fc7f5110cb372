"""How many operations a training step launches, and how often it waits: as on a GPU, counted on the CPU.

`pytest -k operations` prints the counts.
"""

import functools
from collections import Counter

import pytest
import torch

from coursekit.core.device import as_on_gpu, autocast
from coursekit.data import load
from coursekit.data.boxes import Target
from coursekit.detector import build_detector
from coursekit.detector.padded_boxes import GroundTruth, pad_targets
from coursekit.training import TrainConfig, micro_batches
from coursekit.training.forward_backward import update
from coursekit.training.launches import Launches, count_launches
from coursekit.training.optimizer import make_optimizer
from coursekit.training.run_state import start_run

MOST_LAUNCHES, MOST_WAITS, MOST_OUTSIDE_DENSE = 700, 6, 300
MOST_OF_ONE_STAGE, MOST_FOR_ASSIGNMENT = 1000, 25  # of 8 images, most of it in the towers; for each image
LITE0 = "tf_efficientnet_lite0"
SIZE = 64  # pixels; all images have it, so none is resized


@pytest.fixture
def show(capsys):
    """Return a function that prints although pytest captures what tests print."""

    def show(line):
        with capsys.disabled():
            print(f"\n{line}", end="")

    return show


@pytest.fixture(scope="module")
def step_of():
    """Return a function that counts a step of Lite0 with this many images, once each."""
    torch.manual_seed(0)
    return functools.cache(Step(LITE0).count)


class Step:
    """A training step of a detector, from the normalized batch to the update, as on a GPU."""

    def __init__(self, backbone, precision="fp32"):
        self.model = build_detector(backbone, num_classes=16, size=SIZE, pretrained=False).train()
        self.optimizer, self.precision = make_optimizer(self.model, TrainConfig()), precision
        self.dense = self.model.dense

    def count(self, images):
        """Return what the dense part launches, its backward included, and what the rest of the step does."""
        self._step(*_batch(images))  # makes the anchors, and the state of the optimizer
        return self._step(*_batch(images))

    def _step(self, batch, sizes, gt, seeds):
        self.optimizer.zero_grad(set_to_none=True)
        with as_on_gpu(), autocast(batch.device, self.precision):
            with count_launches() as dense_forward:
                levels, *outputs = self.dense(batch)
            leaves = [output.detach().requires_grad_() for output in (*levels, *outputs)]
            self.model.dense = lambda _: (leaves[:-2], *leaves[-2:])
            with count_launches() as forward:
                losses = torch.stack(list(self.model.losses(batch, sizes, gt, seeds).values())).sum()
        with count_launches() as backward:
            losses.backward()
        with count_launches() as dense_backward:
            torch.autograd.backward([*levels, *outputs], [leaf.grad for leaf in leaves])
        with count_launches() as updated:
            update(self.optimizer, self.model.parameters(), 10.0)
        backward.launched.pop("copy_", None)  # into the gradients of the leaves, which are there for this test only
        return _sum(dense_forward, dense_backward), _sum(forward, backward, updated)


def _batch(images):
    batch = torch.randn(images, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    targets = [_target(image) for image in range(images)]
    return batch, torch.full((images, 2), float(SIZE)), pad_targets(targets), torch.arange(images)


def _target(image):
    boxes = torch.tensor([[5.0, 5.0, 30.0, 35.0], [15.0, 20.0, 50.0, 30.0], [35.0, 30.0, 60.0, 60.0]])
    return Target(image_id=image, boxes=boxes, labels=torch.tensor([1, 2, 3]), crowd_boxes=boxes[:0])


def _sum(*parts):
    empty = Counter()
    return Launches(sum((part.launched for part in parts), empty), sum((part.waited for part in parts), empty))


def _line(name, images, dense, rest):
    return (
        f"{name}, {images} images: {dense.launches + rest.launches} operations, {rest.launches} of them outside the "
        f"dense part; {dense.waits + rest.waits} waits {dict(dense.waited + rest.waited)}"
    )


@pytest.mark.parametrize("images", [1, 8, pytest.param(32, marks=pytest.mark.slow)])
def test_operations_from_the_batch_to_the_update(step_of, show, images):
    dense, rest = step_of(images)
    show(_line(LITE0, images, dense, rest))
    assert dense.launches + rest.launches <= MOST_LAUNCHES
    assert dense.waits + rest.waits <= MOST_WAITS
    assert rest.launched == step_of(1)[1].launched, "the number of images should not matter"


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_large_100"])
def test_operations_outside_the_dense_part_are_the_same_for_any_backbone(step_of, show, backbone):
    dense, rest = Step(backbone).count(2)
    show(_line(backbone, 2, dense, rest))
    assert rest.launches <= MOST_OUTSIDE_DENSE
    optimizer = {"_fused_adamw_", "_foreach_add_"}  # one for each group of parameters
    counts = [
        {name: count for name, count in part.launched.items() if name not in optimizer}
        for part in (rest, step_of(1)[1])
    ]
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_operations_after_the_dense_part_at_320_pixels(show):
    """Here, matching and NMS have so many boxes that they might be split into chunks."""
    counts = []
    for images in (1, 32):
        model = build_detector(num_classes=16, pretrained=False).train()
        maps = [torch.randn(images, 96, side, side) for side in (40, 20, 10)]
        model.dense = lambda _, maps=maps: (maps, torch.randn(len(maps[0]), 18900), torch.randn(len(maps[0]), 18900, 4))
        batch, sizes, gt, seeds = _batch(images)
        batch, sizes, gt = (
            torch.zeros(images, 3, 320, 320),
            sizes * 5,
            GroundTruth(gt.boxes.repeat(1, 7, 1), gt.labels.repeat(1, 7)),
        )
        with as_on_gpu(), count_launches() as counted:
            model.losses(batch, sizes, gt, seeds)
        counts.append(counted.launched)
    assert counts[0] == counts[1]


def test_operations_in_mixed_precision(show):
    """Each convolution's weight and many inputs are converted, so there are more of them."""
    dense, rest = Step(LITE0, "bf16").count(2)
    show(_line(f"{LITE0}, bf16", 2, dense, rest))
    assert dense.waits + rest.waits <= MOST_WAITS


@pytest.mark.parametrize("images", [1, 8, pytest.param(32, marks=pytest.mark.slow)])
def test_operations_of_the_trainers_step(show, monkeypatch, images):
    """From the images' arrival on the device to the weights of the next step."""
    counted = [_trainers_step(count, monkeypatch) for count in (images, 1)]
    show(f"optimizer_step, {images} images: {counted[0].launches} operations, {counted[0].waits} waits "
         f"{dict(counted[0].waited)}")  # fmt: skip
    assert counted[0].launches <= MOST_LAUNCHES
    assert counted[0].waits <= MOST_WAITS
    assert counted[0].launched == counted[1].launched


def test_operations_of_a_step_with_one_stage(show, monkeypatch):
    """Only the assignment of cells runs image by image, and no image makes the step wait."""
    one, eight = (_trainers_step(images, monkeypatch, "fcos") for images in (1, 8))
    show(f"fcos, 1 and 8 images: {one.launches} and {eight.launches} operations, {one.waits} and {eight.waits} waits")
    assert eight.launches <= MOST_OF_ONE_STAGE
    assert eight.launches - one.launches <= 7 * MOST_FOR_ASSIGNMENT
    assert eight.waits == one.waits <= MOST_WAITS


def _trainers_step(images, monkeypatch, kind="faster_rcnn"):
    torch.manual_seed(0)
    model = build_detector(num_classes=16, size=SIZE, pretrained=False, kind=kind)
    config = TrainConfig(batch_size=images, precision="fp32")
    run = start_run(model, load("mini", "train").head(2), config, torch.device("cpu"), lambda: "")
    pixels = [torch.randint(256, (3, SIZE, SIZE), dtype=torch.uint8) for _ in range(images)]
    batch = micro_batches.local_batch(run, pixels, [_target(image) for image in range(images)])
    # The CPU pads and packs while a GPU computes the step before. Here, its operations would be counted.
    monkeypatch.setattr(micro_batches, "local_batch", lambda *_: batch)
    with as_on_gpu():
        micro_batches.optimizer_step(run, [], [])
        with count_launches() as counted:
            micro_batches.optimizer_step(run, [], [])
    monkeypatch.undo()
    return counted
