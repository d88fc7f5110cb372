"""Predicted peak memory of a training step against what torch.profiler counts, on the CPU.

Each setting (backbone, size, images at a time, precision, frozen stages, optimizer; with gradients of an earlier part
of the batch; batch norm not folded) runs in a process of its own: two steps of the trainer with the whole detector, on
scenes of `mini` resized to that size with their boxes. Measured is the highest "Total Allocated" of the profiler's
memory events, from before the model is made. It has the workspaces of kernels in it, of which the prediction knows only
the largest. Beside it the growth of the process's resident set (VmHWM), of which the profiler's records are a part.

Then detectron2's published figure for R50-FPN beside ours for the same network.

    python benchmarks/bench_memory.py [--only WORD]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from coursekit.core.config import TrainConfig
from coursekit.data import load
from coursekit.data.boxes import Target
from coursekit.detector import FasterRCNN
from coursekit.detector.from_torchvision import from_torchvision
from coursekit.memory.predict import peak_of, predict
from coursekit.memory.step import build
from coursekit.memory.step_config import MIB, StepConfig
from coursekit.training.state import begin
from coursekit.training.step import optimizer_step

AIM, WANTED = 0.05, 24
DETECTRON2 = 3.0
DIFFERENCE = """\
What a prediction from tensors can't see of theirs: it is the highest of a whole training, as PyTorch 1.3 allocated it,
with cuDNN's workspaces. What is done otherwise: batch norm is two operations behind each convolution, each with its
result, where ours is folded into it; the IoU of 268,569 anchors with up to 93 boxes is one matrix of 100 MB, with more
of its size beside it, where ours is made in pieces of 4 MB."""
SETTINGS = """
tf_efficientnet_lite0 240x320 8 fp32 3 adamw
tf_efficientnet_lite0 240x320 8 bf16 3 adamw
tf_efficientnet_lite0 128x160 4 fp16 3 adamw
tf_efficientnet_lite0 240x320 16 bf16 3 adamw
tf_efficientnet_lite0 240x320 8 fp32 3 adamw accumulates
tf_efficientnet_lite0 240x320 2 fp32 5 sgd
tf_efficientnet_lite0 240x320 1 fp32 0 sgd
tf_efficientnet_lite0 320x320 8 fp32 0 adamw
tf_efficientnet_lite0 480x640 4 bf16 0 adamw
tf_efficientnet_lite0 480x640 2 fp32 3 sgd accumulates
tf_efficientnet_lite0 800x1333 2 fp32 3 adamw
tf_efficientnet_lite0 800x1333 2 bf16 0 adamw
efficientnet_b0 240x320 4 fp32 3 adamw
efficientnet_b0 512x512 4 fp32 3 sgd
efficientnet_b0 320x320 8 bf16 5 adamw
efficientnet_b0 480x640 2 fp32 0 adamw
efficientnet_b0 480x640 2 bf16 0 sgd
efficientnet_b0 512x512 8 bf16 0 adamw
efficientnet_b3 320x320 4 fp32 2 sgd
efficientnet_b3 480x640 1 fp32 0 adamw
efficientnet_b3 480x640 2 bf16 0 adamw
efficientnet_b3 512x512 4 bf16 3 adamw
efficientnet_b3 800x1333 1 bf16 0 adamw
efficientnet_b3 800x1333 1 fp32 0 adamw
efficientnet_b3 480x640 1 fp32 0 adamw plain
resnet18 800x1333 1 fp32 0 sgd
resnet50 480x640 2 fp32 2 sgd
resnet50 480x640 2 bf16 2 sgd accumulates
resnet50 320x320 4 bf16 0 adamw
mobilenetv3_large_100 480x640 4 fp32 0 adamw
mobilenetv3_large_100 320x320 4 bf16 3 sgd
""".strip().splitlines()


def main() -> None:
    """Measure all settings and compare; then the published figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="settings with this in their line")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(parse(options.measure))))
        return
    load("mini", "train")  # drawn before anything is measured
    compare([line for line in SETTINGS if options.only in line])
    published()


def compare(lines: list[str]) -> None:
    """A line for each setting, and how many are near enough."""
    print(f"{'MiB':56} {'predicted':>9} {'measured':>9} {'RSS':>6} {'ratio':>6}")
    near = 0
    for line in lines:
        command = [sys.executable, __file__, "--measure", line]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        measured, predicted = json.loads(ran.stdout.splitlines()[-1]), predict(parse(line)).total
        ratio = predicted / measured["peak"]
        near += abs(ratio - 1) <= AIM
        sizes = predicted / MIB, measured["peak"] / MIB, measured["rss"] / MIB
        print(f"{line:56} {sizes[0]:9.0f} {sizes[1]:9.0f} {sizes[2]:6.0f} {ratio:6.3f}", flush=True)
    print(f"within {AIM:.0%}: {near} of {len(lines)} (aim: at least {WANTED})")


def parse(line: str) -> StepConfig:
    """A line of SETTINGS. Plain: batch norm not folded, and as wide as torchvision's detectors are."""
    backbone, size, batch, precision, frozen, optimizer, *rest = line.split()
    height, width = map(int, size.split("x"))
    setting = StepConfig(
        backbone, (height, width), int(batch), precision, int(frozen), optimizer, "accumulates" in rest,
        num_classes=16, boxes=5, device="cpu",
    )  # fmt: skip
    wide = {"channels": 256, "hidden": 1024, "folds_norm": False}
    return msgspec.structs.replace(setting, **(wide if "plain" in rest else {}))


def measure(setting: StepConfig) -> dict[str, int]:
    """Highest bytes allocated and growth of the resident set, over two steps of the trainer."""
    count = setting.batch * (2 if setting.accumulates else 1)
    images, targets = samples(count, setting.size)
    held = resident("VmRSS")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        settings = TrainConfig(
            batch_size=count, micro_batch=setting.batch, precision=setting.precision, optimizer=setting.optimizer
        )
        run = begin(build(setting), load("mini", "train"), settings, torch.device("cpu"), lambda: "")
        for _ in range(2):
            optimizer_step(run, images, targets)
    grown = resident("VmHWM") - held
    return {"peak": peak_allocated(profiler), "rss": grown}


def samples(count: int, size: tuple[int, int]) -> tuple[list[Tensor], list[Target]]:
    """Scenes of `mini` with their targets, resized."""
    dataset = load("mini", "train")
    chosen = [index for index in range(len(dataset)) if dataset.size(index) == (320, 240)][:count]
    images, targets = [], []
    for image, target in (dataset[index] for index in chosen):
        scale = torch.tensor([size[1] / image.shape[2], size[0] / image.shape[1]] * 2)
        resized = F.interpolate(image[None].float(), size=size, mode="bilinear")[0]
        images.append(resized.to(torch.uint8))
        targets.append(Target(**(target | {"boxes": target["boxes"] * scale})))  # type: ignore[typeddict-item]
    return images, targets


def peak_allocated(profiler: Any) -> int:
    """The highest "Total Allocated" of the CPU's memory events, over what was allocated before the first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    events = [one["args"] for one in sorted(events, key=lambda one: one.get("ts", 0)) if one["name"] == "[memory]"]
    before = events[0]["Total Allocated"] - events[0]["Bytes"]
    return max(one["Total Allocated"] for one in events) - before


def resident(what: str) -> int:
    """Bytes that the process holds (VmRSS) or has held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def published() -> None:
    """detectron2's figure for R50-FPN with 2 images a GPU (MODEL_ZOO.md, R50-FPN 1x and 3x) beside ours."""
    gpu = StepConfig("resnet50", (800, 1333), 2, "fp32", 2, "sgd", channels=256, hidden=1024)
    print("\nR50-FPN, 2 images of 800 × 1333, fp32, SGD, GB of 10⁹ bytes")
    print(f"{DETECTRON2:5.1f}  detectron2, published")
    print(f"{peak_of(their_network(), gpu).total / 1e9:5.1f}  predicted for the same network, made of our parts")
    print(f"{predict(gpu).total / 1e9:5.1f}  predicted for ours with resnet50, as wide: no level of stride 4, 64 RoIs")
    slim = msgspec.structs.replace(gpu, channels=96, hidden=256)
    print(f"{predict(slim).total / 1e9:5.1f}  predicted for ours with resnet50, as the course has it: 96 channels")
    half = msgspec.structs.replace(slim, precision="bf16")
    print(f"{predict(half).total / 1e9:5.1f}  and with mixed precision")
    print(DIFFERENCE)


def their_network() -> FasterRCNN:
    """R50-FPN with strides 4 to 64, 256 channels, 2,000 proposals, 512 RoIs; stem and first stage frozen."""
    model = from_torchvision(fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81))
    for name, parameter in model.backbone.named_parameters():
        if ".conv1." in f".{name}".split("layer")[0] or "layer1." in name:
            parameter.requires_grad_(False)
    return model.train()


if __name__ == "__main__":
    main()
