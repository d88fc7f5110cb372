"""Show on a GPU what the course says about GPUs, beside torchvision and beside CUDA's own counts.

Sections, each of which ends by itself; if one fails, its error is part of the result and the next one begins:

    tests       pytest -m gpu tests/gpu
    speed       images per second and peak memory of the trainer's step beside torchvision's FasterRCNN with the same
                backbone, in the loop of its references/detection with --amp
    launches    kernels, copies, waits and idle share of a step, as the profiler sees them, ours and torchvision's
    nms         one call for all images, several calls, and a call for each group
    memory      the planner's prediction beside CUDA's count, and whether the step trains on a card of 4 GB, which a
                limit on this process's memory simulates
    recovery    gradients of a batch after a real out-of-memory, beside those without one
    goal        seconds of a training on `mini`, and its AP50

`--write` stores the results in docs/gpu.md, with card, date and commit. All sections take about seven minutes.

    python benchmarks/bench_gpu.py [--sections speed,memory] [--write] [--device cpu --quick]
"""

import argparse
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from bench_detector import their_model
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from coursekit.core.device import as_on_gpu, is_out_of_memory
from coursekit.data import load
from coursekit.data.boxes import Size, Target
from coursekit.detector import batch_nms, build_detector
from coursekit.evaluation import predict_dataset, score
from coursekit.memory import Constants, predict, usable
from coursekit.memory.calibrate import measure
from coursekit.memory.step_config import GIB, MIB, StepConfig
from coursekit.training import TrainConfig, train
from coursekit.training.launches import count_launches
from coursekit.training.micro_batches import accumulate_or_halve, local_batch, optimizer_step
from coursekit.training.run_state import Run, start_run

PAGE, MARK = Path(__file__).parents[1] / "docs" / "gpu.md", "<!-- results of benchmarks/bench_gpu.py --write -->"
SMALL_CARD = 4  # GiB
SPEEDS = [((320, 320), 8), ((320, 320), 32), ((640, 640), 8), ((640, 640), 32), ((800, 1333), 2)]
B3 = "efficientnet_b3"
CONFIGS = [
    StepConfig(size=(320, 320), batch=8),
    StepConfig(size=(640, 640), batch=8),
    StepConfig(size=(800, 1333), batch=2),
    StepConfig(size=(640, 640), batch=8, precision="fp32"),
    StepConfig("efficientnet_b0", size=(512, 512), batch=8),
    StepConfig(B3, size=(512, 512), batch=4),
    StepConfig(B3, size=(800, 1333), batch=1),
    StepConfig(B3, size=(800, 1333), batch=1, folds_norm=False),
    StepConfig(B3, size=(800, 1333), batch=1, precision="fp32", folds_norm=False),
    StepConfig("resnet50", size=(800, 1333), batch=2, precision="fp32", frozen_stages=2),
]

Row = dict[str, Any]


def main() -> None:
    """Run the sections, print their results, and store them with `--write`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="the smallest settings, to try the script itself")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--write", action="store_true", help=f"store the results in docs/{PAGE.name}")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here. To try the script itself: --device cpu --quick")
    if options.write and (options.device == "cpu" or options.quick):
        parser.error("--write is for full results from a GPU.")
    load("mini", "train")  # drawn before anything is timed
    results = {}
    for name in options.sections.split(","):
        results[name] = run_section(name, torch.device(options.device), quick=options.quick)
    if options.write:
        write(PAGE, results, torch.cuda.get_device_name())


def run_section(name: str, device: torch.device, *, quick: bool) -> list[Row]:
    """Return the rows of a section, and print each as soon as it is known; the last one says what failed."""
    print(f"== {name}", flush=True)
    rows: list[Row] = []
    start = time.perf_counter()
    try:
        for row in SECTIONS[name](device, quick):
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    except Exception:
        rows.append({"failed": traceback.format_exc(limit=-2)})
        print(rows[-1]["failed"], flush=True)
    print(f"{time.perf_counter() - start:.0f} s", flush=True)
    return rows


def tests(device: torch.device, quick: bool) -> Iterator[Row]:
    """Run the tests for a GPU; without one they are skipped."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=PAGE.parents[1])
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            yield {"test": line}
    yield {"test": done.stdout.splitlines()[-1]}


def speed(device: torch.device, quick: bool) -> Iterator[Row]:
    """Compare images per second and peak memory, by size, batch and precision."""
    times = 1 if quick else 10
    for size, batch in [((128, 128), 2)] if quick else SPEEDS:
        for precision in ("fp32",) if quick else ("fp32", "bf16", "fp16"):
            ours = timed(our_step(size, batch, precision, device), device, times)
            theirs = timed(their_step(size, batch, precision, device), device, times)
            yield {
                "size": f"{size[0]} × {size[1]}", "batch": batch, "precision": precision,
                "ours, images/s": round(batch / ours[0], 1), "torchvision": round(batch / theirs[0], 1),
                "times": round(theirs[0] / ours[0], 2), "ours, MiB": ours[1], "torchvision, MiB": theirs[1],
            }  # fmt: skip
    if not quick:
        for batch in (8, 32):
            compiled = timed(our_step((320, 320), batch, "bf16", device, compile=True), device, times)
            row = {"size": "320 × 320", "batch": batch, "precision": "bf16, compiled"}
            yield row | {"ours, images/s": round(batch / compiled[0], 1), "ours, MiB": compiled[1]}


def launches(device: torch.device, quick: bool) -> Iterator[Row]:
    """Profile a step. The last two columns are counted by dispatch, as the tests do it on a CPU."""
    size, batch = ((128, 128), 2) if quick else ((320, 320), 8)
    for name, make in (("ours", our_step), ("torchvision", their_step)):
        step = make(size, batch, "fp32", device)
        seconds, _ = timed(step, device, 1 if quick else 5)
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        with profile(activities=activities) as profiler:
            step()
            wait(device)
        with as_on_gpu(), count_launches(device) as counted:
            step()
        yield {"step": name, **profiled(profiler, seconds), "operations": counted.launches, "waits": counted.waits}


def profiled(profiler: Any, seconds: float) -> Row:
    """Return what the profiler saw of a step that takes this long when it is not profiled."""
    events = profiler.key_averages()

    def count(*names: str) -> int:
        return sum(event.count for event in events if any(name in event.key for name in names))

    busy = sum(event.self_device_time_total for event in events if str(event.device_type).endswith("CUDA")) / 1e6
    return {
        "ms": round(seconds * 1e3, 1), "GPU busy, ms": round(busy * 1e3, 1),
        "idle": f"{max(0, 1 - busy / seconds):.0%}",
        "kernels": count("LaunchKernel"), "copies": count("cudaMemcpyAsync"),
        "synchronizations": count("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"),
    }  # fmt: skip


def nms(device: torch.device, quick: bool) -> Iterator[Row]:
    """Time NMS of the proposals of three levels: in one call, in calls of four images, and by group."""
    counts, most = [60 if quick else 500] * 3, batch_nms.MAX_NMS_BOXES
    for images in (2,) if quick else (8, 32):
        torch.manual_seed(0)
        corner = 300 * torch.rand(images, sum(counts), 2, device=device)
        boxes = torch.cat([corner, corner + 4 + 60 * torch.rand_like(corner)], 2)
        arguments = boxes, torch.rand(images, sum(counts), device=device), counts, 0.7
        row: Row = {"images": images}
        for name, limit in (("one call", most), ("calls of four images", 4 * sum(counts))):
            batch_nms.MAX_NMS_BOXES = limit
            row[f"{name}, ms"] = milliseconds(partial(batch_nms._nms_in_one_call, *arguments), device)
        batch_nms.MAX_NMS_BOXES = most
        row["by group, ms"] = milliseconds(partial(batch_nms._nms_by_group, *arguments), device)
        yield row


def memory(device: torch.device, quick: bool) -> Iterator[Row]:
    """Compare predictions with what CUDA allocated, and try each step on a simulated card of 4 GB."""
    budget, on_gpu = usable(SMALL_CARD, Constants()), device.type == "cuda"
    for config in [StepConfig(size=(128, 128), batch=1)] if quick else CONFIGS:
        predicted = predict(config).total
        row = {
            "backbone": config.backbone + ("" if config.folds_norm else ", batch norm not folded"),
            "size": f"{config.size[0]} × {config.size[1]}", "batch": config.batch, "precision": config.precision,
            "predicted, MiB": predicted // MIB,
        }  # fmt: skip
        if on_gpu:
            measured = measure(config)
            row |= {"allocated": measured.allocated // MIB, "reserved": measured.reserved // MIB}
            row["predicted / allocated"] = round(predicted / measured.allocated, 3)
        fits = {"4 GB, predicted": "fits" if predicted <= budget else "does not fit"}
        yield row | fits | ({"4 GB, tried": trains_on_small_card(config)} if on_gpu else {})


def trains_on_small_card(config: StepConfig) -> str:
    """Try a step with as much memory as PyTorch could reserve on a card of 4 GB."""
    with memory_limit(SMALL_CARD * GIB - Constants().context):
        try:
            measure(config)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return "does not fit"
    return "fits"


def recovery(device: torch.device, quick: bool) -> Iterator[Row]:
    """Compare the gradients of a batch with those after a real out-of-memory, with the samples filled in both."""
    size, batch = ((64, 64), 4) if quick else ((320, 320), 16)
    run, images, targets = start(size, batch, "fp32", device)
    whole = gradients(run, images, targets)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    with memory_limit(0.7 * peak if peak else None):
        split = gradients(run, images, targets)
    difference = max(float((split[name] - whole[name]).norm() / whole[name].norm().clamp(min=1e-12)) for name in whole)
    yield {"batch": batch, "images at a time afterward": run.micro_batch, "largest relative difference": difference}


def gradients(run: Run, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
    """Return the gradients of a batch by parameter."""
    accumulate_or_halve(run, local_batch(run, images, targets))
    return {name: value.grad.clone() for name, value in run.model.named_parameters() if value.grad is not None}


def goal(device: torch.device, quick: bool) -> Iterator[Row]:
    """Train on `mini`, and score."""
    train_set, val_set = load("mini", "train"), load("mini", "val")
    config = TrainConfig(epochs=11)
    if quick:
        train_set, val_set, config = train_set.head(4), val_set.head(2), TrainConfig(epochs=1, batch_size=4)
    torch.manual_seed(0)
    model = build_detector(num_classes=len(train_set.classes))
    begun = time.perf_counter()
    history = train(model, train_set, config, device=device)
    seconds = time.perf_counter() - begun
    numbers = score(predict_dataset(model, val_set), val_set)
    yield {
        "epochs": config.epochs, "seconds": round(seconds, 1), "images/s": round(history[-1].images / seconds, 1),
        "AP50": round(numbers["AP50"], 3), "AP": round(numbers["AP"], 3),
    }  # fmt: skip


SECTIONS: dict[str, Callable[[torch.device, bool], Iterator[Row]]] = {
    section.__name__: section for section in (tests, speed, launches, nms, memory, recovery, goal)
}


# Steps and times


def start(size: Size, batch: int, precision: str, device: torch.device, compile: bool = False) -> Any:
    """Return a run, and a batch of images of this size with their targets."""
    torch.manual_seed(0)
    model = build_detector(num_classes=16, size=max(size))
    config = TrainConfig(batch_size=batch, precision=precision, compile=compile)
    return start_run(model, load("mini", "train"), config, device, str), *scenes(size, batch)


def our_step(size: Size, batch: int, precision: str, device: torch.device, compile: bool = False) -> Callable[[], Any]:
    """Return the trainer's step; as in the loop, its losses are read a step later."""
    run, images, targets = start(size, batch, precision, device, compile)

    def step() -> None:
        run.record_step(*optimizer_step(run, images, targets))
        run.read_steps(ahead=1)

    return step


def their_step(size: Size, batch: int, precision: str, device: torch.device) -> Callable[[], Any]:
    """Return the step of references/detection/engine.py with its --amp."""
    torch.manual_seed(0)
    model = their_model(64, size).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    images, targets = scenes(size, batch)

    def step() -> None:
        inputs = [image.to(device) / 255 for image in images]
        gt = [{name: target[name].to(device) for name in ("boxes", "labels")} for target in targets]  # type: ignore[literal-required]
        with torch.autocast(device.type, dtype, enabled=precision != "fp32"):
            losses = sum(model(inputs, gt).values())
        losses.item()
        optimizer.zero_grad()
        scaler.scale(losses).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def scenes(size: Size, count: int) -> tuple[list[Tensor], list[Target]]:
    """Return scenes of `mini` with their targets, resized to this (height, width)."""
    dataset = load("mini", "train")
    chosen = [index for index in range(len(dataset)) if dataset.size(index) == (240, 320)]
    images, targets = [], []
    for image, target in (dataset[chosen[number % len(chosen)]] for number in range(count)):
        scale = torch.tensor([size[1] / image.shape[2], size[0] / image.shape[1]] * 2)
        images.append(F.interpolate(image[None].float(), size=size, mode="bilinear")[0].to(torch.uint8))
        targets.append(Target(**(target | {"boxes": target["boxes"] * scale})))  # type: ignore[typeddict-item]
    return images, targets


def timed(step: Callable[[], Any], device: torch.device, times: int) -> tuple[float, int | None]:
    """Return the median seconds of a step after three to warm up, and the peak of allocated memory in MiB."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(times + 3):
        wait(device)
        begun = time.perf_counter()
        step()
        wait(device)
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() // MIB if device.type == "cuda" else None
    return statistics.median(seconds[3:]), peak


def milliseconds(run: Callable[[], Any], device: torch.device) -> float:
    """Return the median milliseconds of a function."""
    return round(timed(run, device, 5)[0] * 1e3, 2)


def wait(device: torch.device) -> None:
    """Wait until the device has done all that was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def memory_limit(size: float | None) -> Iterator[None]:
    """Let this process reserve at most so many bytes on the GPU; None sets no limit."""
    if size is None:
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


# The page


def write(path: Path, results: dict[str, list[Row]], card: str) -> None:
    """Replace all below the mark in the page by the results, with card, date and commit."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9"]
    commit = subprocess.run(command, capture_output=True, text=True, cwd=PAGE.parent, check=True).stdout.strip()
    head = f"Measured on {card}, {date.today()}, at commit {commit}, with PyTorch {torch.__version__}.\n"
    tables = [f"## {name.capitalize()}\n\n{table(rows)}" for name, rows in results.items()]
    above = path.read_text(encoding="utf-8").partition(MARK)[0]
    path.write_text(above + "\n".join([f"{MARK}\n", head, *tables]), encoding="utf-8")


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table. A failure follows it as text."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "failed"))
    lines = [names, ["---"] * len(names)] if names else []
    lines += [[str(row.get(name, "–")) for name in names] for row in rows if "failed" not in row]
    failed = [f"\n```text\n{row['failed']}```\n" for row in rows if "failed" in row]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "".join(failed)


if __name__ == "__main__":
    main()
