"""A training step and an inference of our detector against torchvision's FasterRCNN, on the CPU.

Both sides have the same backbone (EfficientNet-Lite0 at strides 8, 16, 32, the same stages frozen), an FPN of 96
channels, the same images (8 scenes of `mini`, long side 320) and targets, the same anchors, numbers of proposals and
of RoIs. Theirs is torchvision's FasterRCNN with its FeaturePyramidNetwork, trained as its references/detection does:
SGD with momentum, zero_grad, backward, step, in fp32 and contiguous memory. Ours is the trainer's `optimizer_step`,
in fp32 and as the trainer runs it (bf16, channels last). Reported besides: theirs in channels last, with bf16, and
with both.

Each way runs in a process of its own, the ways taking turns; the median over all rounds counts. Memory is the peak
growth of the process's resident set (VmHWM) over what it held before the model was made.

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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.detector.model import ANCHOR_SCALES
from coursekit.training import TrainConfig
from coursekit.training.state import begin
from coursekit.training.step import optimizer_step

BATCH, FROZEN, CHANNELS, HIDDEN = 8, 3, 96, 256
NUMBERS = {64: (500, 300, 64), 512: (2000, 2000, 512)}  # RoIs sampled: proposals before and after NMS, RoIs
WAYS = ("theirs", "theirs, channels last", "theirs, bf16", "theirs, bf16, channels last", "ours", "ours, as trained")
AIMS = {"ours": 1.5, "ours, as trained": 2.0}


def main() -> None:
    """Measure all ways and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rois", type=int, choices=NUMBERS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    load("mini", "train")  # drawn before anything is timed
    for rois in options.rois or NUMBERS:
        if options.way:
            print(json.dumps(measure(options.way, rois, options.steps)))
        else:
            compare(rois, options.rounds, options.steps)


def compare(rois: int, rounds: int, steps: int) -> None:
    """Run every way, in turns, and print what came out."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for way in [*WAYS] * rounds:
        command = [sys.executable, __file__, "--way", way, "--rois", str(rois), "--steps", str(steps)]
        runs[way].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    before, after, _ = NUMBERS[rois]
    print(f"{before} proposals a level, {after} after NMS, {rois} RoIs an image; {BATCH} images a step")
    print(f"{'':28} {'step ms':>8} {'img/s':>6} {'times':>6} {'peak MB':>8} {'infer ms':>9} {'times':>6}")
    base = medians(runs["theirs"])
    for way, several in runs.items():
        one = medians(several)
        ratios = base["step"] / one["step"], base["infer"] / one["infer"]
        print(
            f"{way:28} {one['step'] * 1e3:8.0f} {BATCH / one['step']:6.1f} {ratios[0]:6.2f} {one['peak']:8.0f} "
            f"{one['infer'] * 1e3:9.0f} {ratios[1]:6.2f}"
        )
    for way, aim in AIMS.items():
        one = medians(runs[way])
        print(f"{way}: {base['step'] / one['step']:.2f} times as fast (aim {aim}), "
              f"{one['peak'] / base['peak']:.2f} of the memory (aim 1)")  # fmt: skip


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Of the times; the largest of the peaks."""
    return {
        "step": statistics.median(time for run in runs for time in run["steps"]),
        "infer": statistics.median(time for run in runs for time in run["infers"]),
        "peak": max(run["peak"] for run in runs),
    }


def measure(way: str, rois: int, steps: int) -> dict[str, Any]:
    """Seconds of each step and inference, and the peak, of one way."""
    torch.manual_seed(0)
    dataset = load("mini", "train")
    samples = [dataset[index] for index in range(len(dataset)) if dataset.size(index) == (320, 240)][:BATCH]
    images, targets = [image for image, _ in samples], [target for _, target in samples]
    held = memory("VmRSS")
    ours = way.startswith("ours")
    model = our_model(rois) if ours else their_model(rois)
    step = our_step(model, way) if ours else their_step(model, way)
    seconds = timed(lambda: step(images, targets), steps)
    peak = memory("VmHWM") - held
    model.eval()
    inputs = [image / 255 for image in images]
    half = "bf16" in way or way == "ours, as trained"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        infers = timed(lambda: model(inputs), steps)
    return {"steps": seconds, "infers": infers, "peak": peak}


def timed(run: Callable[[], Any], times: int) -> list[float]:
    """Seconds of each run, after two to warm up."""
    seconds = []
    for _ in range(times + 2):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds[2:]


def memory(what: str) -> float:
    """What the process holds (VmRSS) or has held at most (VmHWM), in MB of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


def our_model(rois: int) -> nn.Module:
    """Ours, with these numbers."""
    from dataclasses import replace

    model = build_detector(num_classes=16, channels=CHANNELS, hidden=HIDDEN, frozen_stages=FROZEN)
    before, after, _ = NUMBERS[rois]
    model.options = replace(
        model.options,
        rpn_pre_nms_top_n=(before, before),
        rpn_post_nms_top_n=(after, after),
        box_batch_size_per_image=rois,
    )
    return model


def our_step(model: nn.Module, way: str) -> Callable[..., Any]:
    """The trainer's step; in fp32 without its autocast."""
    settings = TrainConfig(batch_size=BATCH, precision="fp32" if way == "ours" else "bf16")
    run = begin(model, load("mini", "train"), settings, torch.device("cpu"), str)
    return lambda images, targets: optimizer_step(run, images, targets)


class TheirBackbone(nn.Module):
    """timm's model with torchvision's FPN, as torchvision's FasterRCNN wants them; batch norm in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork

        from coursekit.detector import freeze_stages
        from coursekit.detector.pretrained import timm_features

        body: Any = timm_features("tf_efficientnet_lite0", pretrained=True)
        self.body = body
        freeze_stages(self.body, FROZEN)
        for module in self.norms():
            module.requires_grad_(False)
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), CHANNELS)
        self.out_channels = CHANNELS

    def norms(self) -> list[nn.Module]:
        """The body's batch norms."""
        return [module for module in self.body.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "TheirBackbone":
        """Batch norm stays in eval mode."""
        super().train(mode)
        for module in self.norms():
            module.eval()
        return self

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Images → maps by name."""
        maps: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), one) for i, one in enumerate(self.body(images))))
        return maps


def their_model(rois: int) -> nn.Module:
    """torchvision's, with these numbers."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    before, after, _ = NUMBERS[rois]
    sizes = tuple(tuple(int(scale * stride) for scale in ANCHOR_SCALES) for stride in (8, 16, 32))
    return FasterRCNN(
        TheirBackbone(), min_size=320, max_size=320,
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3),
        rpn_pre_nms_top_n_train=before, rpn_pre_nms_top_n_test=before,
        rpn_post_nms_top_n_train=after, rpn_post_nms_top_n_test=after,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=64, canonical_level=4),
        box_head=TwoMLPHead(CHANNELS * 49, HIDDEN), box_predictor=FastRCNNPredictor(HIDDEN, 17),
        box_batch_size_per_image=rois,
    )  # fmt: skip


def their_step(model: nn.Module, way: str) -> Callable[..., Any]:
    """As references/detection/engine.py: loss, zero_grad, backward, step."""
    model.train()
    if "channels last" in way:
        model.to(memory_format=torch.channels_last)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02 / 16 * BATCH / 2, momentum=0.9, weight_decay=1e-4)

    def step(images: list[Tensor], targets: list[Any]) -> None:
        truth = [{"boxes": target["boxes"], "labels": target["labels"]} for target in targets]
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in way):
            losses = sum(model([image / 255 for image in images], truth).values())
        losses.item()
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
