"""Time a training step and an inference of our detector against torchvision's FasterRCNN, on the CPU.

Both sides have the same backbone (EfficientNet-Lite0 at strides 8, 16, 32, the same stages frozen), an FPN of 96
channels, the same images (8 scenes of `mini`, long side 320 pixels) and targets, the same anchors, and the same numbers
of proposals and RoIs. Theirs is torchvision's FasterRCNN with its FeaturePyramidNetwork, trained as in torchvision's
references/detection: SGD with momentum, zero_grad, backward, step, in fp32 and contiguous memory. Ours is the trainer's
`optimizer_step`, in fp32 and as the trainer runs it (bf16, channels last). Also reported: theirs in channels last, with
bf16, and with both.

Each variant runs in a process of its own, in turn; the result is the median over all rounds. Memory is the peak of the
process's resident set (VmHWM) minus what it held before the model was built.

    python benchmarks/bench_detector.py [--rois 64|512] [--rounds 3] [--steps 6]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.data import load
from coursekit.detector import build_detector, freeze_stages
from coursekit.detector.model import ANCHOR_SCALES
from coursekit.detector.timm_models import timm_features
from coursekit.training import TrainConfig
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import start_run

BATCH, FROZEN, CHANNELS, HIDDEN = 8, 3, 96, 256
NUMBERS = {64: (500, 300, 64), 512: (2000, 2000, 512)}  # RoIs per image: pre_nms_top_n, post_nms_top_n, RoIs
VARIANTS = (
    "theirs",
    "theirs, channels last",
    "theirs, bf16",
    "theirs, bf16, channels last",
    "ours",
    "ours, as trained",
)
AIMS = {"ours": 1.5, "ours, as trained": 2.0}


def main() -> None:
    """Measure all variants and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rois", type=int, choices=NUMBERS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    load("mini", "train")  # draws the scenes, before anything is timed
    for rois in options.rois or NUMBERS:
        if options.variant:
            print(json.dumps(measure(options.variant, rois, options.steps)))
        else:
            compare(rois, options.rounds, options.steps)


def compare(rois: int, rounds: int, steps: int) -> None:
    """Run all variants in turn, and print a table."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for variant in [*VARIANTS] * rounds:
        command = [sys.executable, __file__, "--variant", variant, "--rois", str(rois), "--steps", str(steps)]
        runs[variant].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    pre_nms_top_n, post_nms_top_n, _ = NUMBERS[rois]
    print(f"{pre_nms_top_n} proposals per level, {post_nms_top_n} after NMS, {rois} RoIs per image, {BATCH} images")
    print(f"{'':28} {'step ms':>8} {'img/s':>6} {'times':>6} {'peak MB':>8} {'infer ms':>9} {'times':>6}")
    base = medians(runs["theirs"])
    for variant, measured in runs.items():
        result = medians(measured)
        ratios = base["step"] / result["step"], base["infer"] / result["infer"]
        print(
            f"{variant:28} {result['step'] * 1e3:8.0f} {BATCH / result['step']:6.1f} {ratios[0]:6.2f} "
            f"{result['peak']:8.0f} {result['infer'] * 1e3:9.0f} {ratios[1]:6.2f}"
        )
    for variant, aim in AIMS.items():
        result = medians(runs[variant])
        print(f"{variant}: {base['step'] / result['step']:.2f} times as fast (aim {aim}), "
              f"{result['peak'] / base['peak']:.2f} of the memory (aim 1)")  # fmt: skip


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians of the times, in seconds, and the largest peak, in MB."""
    return {
        "step": statistics.median(time for run in runs for time in run["steps"]),
        "infer": statistics.median(time for run in runs for time in run["infers"]),
        "peak": max(run["peak"] for run in runs),
    }


def measure(variant: str, rois: int, steps: int) -> dict[str, Any]:
    """Return the seconds of each step and inference of a variant, and its peak memory in MB."""
    torch.manual_seed(0)
    dataset = load("mini", "train")
    samples = [dataset[index] for index in range(len(dataset)) if dataset.size(index) == (240, 320)][:BATCH]
    images, targets = [image for image, _ in samples], [target for _, target in samples]
    held = memory("VmRSS")
    ours = variant.startswith("ours")
    model = our_model(rois) if ours else their_model(rois)
    step = our_step(model, variant) if ours else their_step(model, variant)
    seconds = timed(lambda: step(images, targets), steps)
    peak = memory("VmHWM") - held
    model.eval()
    inputs = [image / 255 for image in images]
    half = "bf16" in variant or variant == "ours, as trained"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        infers = timed(lambda: model(inputs), steps)
    return {"steps": seconds, "infers": infers, "peak": peak}


def timed(run: Callable[[], Any], times: int) -> list[float]:
    """Return the seconds of each run, after two warm-up runs."""
    seconds = []
    for _ in range(times + 2):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds[2:]


def memory(name: str) -> float:
    """Return the memory that the process holds (VmRSS) or has held at most (VmHWM), in MB of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def our_model(rois: int) -> nn.Module:
    """Build our detector with this number of RoIs."""
    model = build_detector(num_classes=16, channels=CHANNELS, hidden=HIDDEN, frozen_stages=FROZEN)
    pre_nms_top_n, post_nms_top_n, _ = NUMBERS[rois]
    model.options = replace(
        model.options,
        rpn_pre_nms_top_n=(pre_nms_top_n, pre_nms_top_n),
        rpn_post_nms_top_n=(post_nms_top_n, post_nms_top_n),
        box_batch_size_per_image=rois,
    )
    return model


def our_step(model: nn.Module, variant: str) -> Callable[..., Any]:
    """Return the trainer's step; in fp32 it runs without autocast."""
    config = TrainConfig(batch_size=BATCH, precision="fp32" if variant == "ours" else "bf16")
    run = start_run(model, load("mini", "train"), config, torch.device("cpu"), str)
    return lambda images, targets: optimizer_step(run, images, targets)


class TheirBackbone(nn.Module):
    """timm's model with torchvision's FPN, for torchvision's FasterRCNN. Batch norm stays in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork

        body: Any = timm_features("tf_efficientnet_lite0", pretrained=True)
        self.body = body
        freeze_stages(self.body, FROZEN)
        for module in self.norms():
            module.requires_grad_(False)
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), CHANNELS)
        self.out_channels = CHANNELS

    def norms(self) -> list[nn.Module]:
        """Return the batch norms of the body."""
        return [module for module in self.body.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "TheirBackbone":
        """Set the mode, except of batch norm: it stays in eval mode."""
        super().train(mode)
        for module in self.norms():
            module.eval()
        return self

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the levels of images by name."""
        named = OrderedDict((str(level), features) for level, features in enumerate(self.body(images)))
        levels: OrderedDict[str, Tensor] = self.fpn(named)
        return levels


def their_model(rois: int, size: tuple[int, int] = (320, 320)) -> nn.Module:
    """Build torchvision's detector with this number of RoIs, for images of this (height, width)."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    pre_nms_top_n, post_nms_top_n, _ = NUMBERS[rois]
    sizes = tuple(tuple(int(scale * stride) for scale in ANCHOR_SCALES) for stride in (8, 16, 32))
    return FasterRCNN(
        TheirBackbone(), min_size=min(size), max_size=max(size),
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3),
        rpn_pre_nms_top_n_train=pre_nms_top_n, rpn_pre_nms_top_n_test=pre_nms_top_n,
        rpn_post_nms_top_n_train=post_nms_top_n, rpn_post_nms_top_n_test=post_nms_top_n,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=64, canonical_level=4),
        box_head=TwoMLPHead(CHANNELS * 49, HIDDEN), box_predictor=FastRCNNPredictor(HIDDEN, 17),
        box_batch_size_per_image=rois,
    )  # fmt: skip


def their_step(model: nn.Module, variant: str) -> Callable[..., Any]:
    """Return the step of references/detection/engine.py: loss, zero_grad, backward, step."""
    model.train()
    if "channels last" in variant:
        model.to(memory_format=torch.channels_last)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02 / 16 * BATCH / 2, momentum=0.9, weight_decay=1e-4)

    def step(images: list[Tensor], targets: list[Any]) -> None:
        gt = [{"boxes": target["boxes"], "labels": target["labels"]} for target in targets]
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in variant):
            losses = sum(model([image / 255 for image in images], gt).values())
        losses.item()
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
