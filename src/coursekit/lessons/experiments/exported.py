"""A trained detector as one file: exported, compared with PyTorch's, looked into, and timed. Lesson 12.

Without the packages of the extra `export`, the first function says so and returns None; the others then do nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import coursekit.show as show
from coursekit.core.errors import ConfigError, DataError
from coursekit.data import CocoDataset, load
from coursekit.export.agreement import check_agreement
from coursekit.export.fixed_shapes import PaddedNms
from coursekit.export.graph import input_size, make_graph
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.packages import need_packages
from coursekit.export.prepare import prepare_image
from coursekit.export.write_onnx import write_onnx
from coursekit.lessons.experiments.lesson07_run import FOLDER, first_run
from coursekit.lessons.workbook.own_parts import load_trained
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.save_and_load import check_classes

FILE = Path("runs") / "12" / "model.onnx"  # beside the notebooks
LEAST = 0.5  # the lowest score that is drawn
THREADS = (1, 2)
MOST_DRAWN = 15  # boxes of a stage


def load_my_run(folder: str, workbook: Workbook, data: str) -> tuple[nn.Module, CocoDataset]:
    """Load a run's detector on the CPU, in eval mode, and the validation images of its data, with its classes.

    It has the options of the run's configuration, as in `coursekit export`, so that both write the same file.

    Args:
        folder: the run's folder. Lesson 07's run is trained if it isn't there.
        workbook: holds the parts that it was trained with.
        data: what lesson 07 trains on.
    """
    if Path(folder) == FOLDER:
        first_run(workbook, data)  # trains it if need be; its options aren't those of the saved configuration
    model, config = load_trained(Path(folder), workbook)
    if Path(folder) != FOLDER:
        print(f"The detector of {folder}, trained on {config.data} for {config.training.epochs} epochs.")
    return model.cpu(), check_classes(config, load(config.data, "val"))


def export(model: nn.Module, classes: Sequence[str], my_megabytes: float) -> OnnxDetector | None:
    """Write a detector to `runs/12/model.onnx` and load it with onnxruntime. Print how large the file is.

    Args:
        model: the detector.
        classes: the names of its classes.
        my_megabytes: the reader's guess.

    Returns:
        The detector in the file; None if a package is missing, which is printed.
    """
    try:
        need_packages()
    except ConfigError as error:
        print(error)
        return None
    start = time.perf_counter()
    with tqdm(total=1, desc="exporting", unit="file") as bar:
        write_onnx(model, classes, FILE)
        bar.update()
    seconds, size = time.perf_counter() - start, FILE.stat().st_size / 1e6
    print(f"{FILE.as_posix()}: {size:.1f} MB, written in {seconds:.0f} s; you said {my_megabytes:g} MB")
    return OnnxDetector(FILE)


def compare(exported: OnnxDetector | None, model: nn.Module, dataset: CocoDataset) -> None:
    """Print how well the file's detections agree with PyTorch's in a data set."""
    if exported is None:
        return
    positions = tqdm(range(len(dataset)), "comparing", unit="img")
    try:
        print(check_agreement(model, exported, (dataset[position][0] for position in positions)))
    except DataError as error:
        print(error)


def show_stages(exported: OnnxDetector | None, image: Tensor) -> None:
    """Show the boxes of each stage in an image, (3, H, W) uint8, as the file's outputs have them."""
    if exported is None:
        return
    outputs, panels = exported.stages(image), {}
    for stage in exported.settings.stages:
        scores = outputs[stage.scores]
        count = int((scores >= (LEAST if stage.labels else 0)).sum())
        best = scores.topk(min(count, MOST_DRAWN)).indices
        names = [""] * len(best)
        if stage.labels:
            pairs = zip(outputs[stage.labels][best].tolist(), scores[best].tolist(), strict=True)
            names = [f"{exported.settings.classes[label - 1]} {score:.2f}" for label, score in pairs]
        title = f"{stage.title}: {count}" + (f" with a score of at least {LEAST}" if stage.labels else "")
        title += f", the best {MOST_DRAWN} drawn" if count > MOST_DRAWN else ""
        panels[title] = (image, outputs[stage.boxes][best], names)
    show.image_row(panels, "A scene with the boxes of each stage.")


@torch.inference_mode()
def try_my_nms(model: nn.Module, nms: PaddedNms, dataset: CocoDataset, my_times: float) -> None:
    """Run a detector's graph in PyTorch, as it is and with a function in place of its NMS operator. Print what differs.

    Args:
        model: the detector.
        nms: a function like `nms_padded`.
        dataset: the images to detect in.
        my_times: the reader's guess: how many times as long the graph takes with it.
    """
    both, seconds, count, apart = (make_graph(model), make_graph(model, nms)), [0.0, 0.0], 0, 0.0
    for position in tqdm(range(len(dataset)), "detecting", unit="img"):
        image = dataset[position][0]
        batch, scale = prepare_image(image, input_size(model))
        size = torch.tensor([side * factor for side, factor in zip(image.shape[1:], scale, strict=True)]).round()
        found = []
        for which, graph in enumerate(both):
            start = time.perf_counter()
            boxes, scores, _ = graph(batch, size)[-3:]
            seconds[which] += time.perf_counter() - start
            found.append(boxes[scores >= 0])
        count += len(found[0])
        is_same = len(found[0]) == len(found[1])
        apart = max(apart, float((found[0] - found[1]).abs().max()) if is_same and len(found[0]) else 0.0)
        apart = apart if is_same else float("inf")
    print(f"{count} detections in {len(dataset)} images: boxes at most {apart:.1g} pixels apart")
    print(f"with yours, it takes {seconds[1] / seconds[0]:.1f} times as long; you said {my_times:g}")


@torch.inference_mode()
def time_both(
    exported: OnnxDetector | None, model: nn.Module, image: Tensor, my_ratio: float, rounds: int = 5
) -> dict[str, float]:
    """Measure PyTorch against onnxruntime on one image, on one thread and on two. Print the ratio for one.

    Only the detector is timed, from the prepared image to the boxes. All take turns, so that a busy machine slows
    each of them.

    Args:
        exported: the detector in the file; if None, PyTorch's times are all there is.
        model: PyTorch's detector.
        image: (3, H, W) uint8.
        my_ratio: the reader's guess: how many times as fast onnxruntime is, on one thread.
        rounds: the median of so many counts.

    Returns:
        Milliseconds for an image, by name.
    """
    milliseconds = time_in_turn(runners(None if exported is None else FILE, model, image), rounds)
    if exported is not None:
        ratio = milliseconds["PyTorch, 1 thread"] / milliseconds["onnxruntime, 1 thread"]
        print(f"on one thread, onnxruntime is {ratio:.1f} times as fast; you said {my_ratio:g}")
    return milliseconds


def runners(file: Path | None, model: Any, image: Tensor) -> dict[str, Callable[[], Any]]:
    """Return what to time, by name: each call runs a detector once on the same prepared image."""
    batch, scale = prepare_image(image, input_size(model))
    size = [round(side * factor) for side, factor in zip(image.shape[1:], scale, strict=True)]
    calls: dict[str, Callable[[], Any]] = {}
    for threads in THREADS:
        words = f"{threads} thread{'s' if threads > 1 else ''}"
        calls[f"PyTorch, {words}"] = _on_threads(threads, lambda: model.predict(batch, [size]))
        if file is not None:
            session = OnnxDetector(file, threads)
            calls[f"onnxruntime, {words}"] = _running(session, batch, torch.tensor(size))
    return calls


def _running(session: OnnxDetector, batch: Tensor, size: Tensor) -> Callable[[], Any]:
    return lambda: session.run(batch, size)


def _on_threads(threads: int, call: Callable[[], Any]) -> Callable[[], Any]:
    """Return a call that runs with so many of torch's threads."""

    def run() -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return call()
        finally:
            torch.set_num_threads(before)

    return run


def time_in_turn(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each call. They take turns; a first round isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * median(values[1:]) for name, values in seconds.items()}
