"""Compare a trained detector in onnxruntime with the same one in PyTorch, on one thread and on two.

The detector is the course's own (EfficientNet-Lite0, 320 pixels, 200 proposals), trained for one short epoch on `mini`,
so that its two NMS have something to do; or that of a run, with `--run`. First the detections of both are compared.
Then both sides take turns in one process, image by image: only the detector is timed, from the prepared image to the
boxes. A ratio is that of a round; the median of five rounds and the range are printed.

    python benchmarks/bench_export.py [--run FOLDER] [--images 20] [--size 320]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from coursekit.data import CocoDataset, load
from coursekit.detector import build_detector
from coursekit.export.agreement import check_agreement
from coursekit.export.graph import input_size
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.prepare import prepare_image
from coursekit.export.write_onnx import write_onnx
from coursekit.runs import load_run
from coursekit.training import TrainConfig, train

ROUNDS, THREADS = 5, (1, 2)
TRAINED_ON = 96  # scenes


def main() -> None:
    """Export, compare and time."""
    parser = argparse.ArgumentParser(description="Compare onnxruntime with PyTorch.")
    parser.add_argument("--run", type=Path, help="a run's folder, without parts of a workbook")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--size", type=int, default=320, help="pixels, without --run")
    options = parser.parse_args()
    train_set, val_set = load("mini", "train"), load("mini", "val").head(options.images)
    model: Any = load_run(options.run)[0] if options.run else short_run(train_set, options.size)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        start = time.perf_counter()
        write_onnx(model, train_set.classes, file)
        print(f"exported in {time.perf_counter() - start:.0f} s: {file.stat().st_size / 1e6:.1f} MB")
        images = [val_set[position][0] for position in range(len(val_set))]
        print(check_agreement(model, OnnxDetector(file), images))
        for threads in THREADS:
            compare(model, OnnxDetector(file, threads), images, threads)


def short_run(train_set: CocoDataset, size: int) -> Any:
    """Return a detector that has been trained for one epoch."""
    torch.manual_seed(0)
    model = build_detector(num_classes=len(train_set.classes), size=size, frozen_stages=8)
    train(model, train_set.head(TRAINED_ON), TrainConfig(epochs=1, precision="fp32"))
    return model.eval()


def compare(model: Any, exported: OnnxDetector, images: list[torch.Tensor], threads: int) -> None:
    """Time both sides on so many threads, and print milliseconds for an image and the ratio."""
    prepared = [(image, *prepare_image(image, input_size(model))) for image in images]
    inputs = [
        (batch, [round(side * factor) for side, factor in zip(image.shape[1:], scale, strict=True)])
        for image, batch, scale in prepared
    ]
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "PyTorch": lambda batch, size: model.predict(batch, [size]),
        "onnxruntime": lambda batch, size: exported.run(batch, torch.tensor(size)),
    }
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    torch.set_num_threads(threads)
    with torch.inference_mode():
        for number in range(ROUNDS + 1):
            for name, seconds in one_round(calls, inputs).items():
                if number:  # the first one warms up
                    rounds[name].append(1000 * seconds / len(inputs))
    ratios = [theirs / ours for theirs, ours in zip(rounds["PyTorch"], rounds["onnxruntime"], strict=True)]
    words = ", ".join(f"{name} {statistics.median(times):.1f} ms" for name, times in rounds.items())
    print(
        f"{threads} thread{'s' if threads > 1 else ''}: {words}: {statistics.median(ratios):.2f} times as fast "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def one_round(calls: dict[str, Callable[[Any, Any], Any]], inputs: list[tuple[Any, Any]]) -> dict[str, float]:
    """Return the seconds that each side takes for all images; they take turns."""
    seconds = dict.fromkeys(calls, 0.0)
    for batch, size in inputs:
        for name, call in calls.items():
            start = time.perf_counter()
            call(batch, size)
            seconds[name] += time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
