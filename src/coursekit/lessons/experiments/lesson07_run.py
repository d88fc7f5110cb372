"""The detector that lesson 07 trains, saved for the lessons after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import CourseError
from coursekit.data import CocoDataset, load
from coursekit.detector.boxes import clip_boxes
from coursekit.detector.model import ANCHOR_SCALES, Options
from coursekit.lessons.notebooks.short_form import quick
from coursekit.lessons.workbook import own_parts
from coursekit.lessons.workbook.own_parts import load_trained
from coursekit.lessons.workbook.trusted_workbooks import digests
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.run_config import RunConfig, load_config, relative_to_run
from coursekit.runs.save_and_load import WEIGHTS, build, save_run
from coursekit.training import TrainConfig, train

FOLDER = Path("runs") / "07"  # beside the notebooks
EPOCHS, IMAGES = (3, 1), (200, 8)  # in full, and in the short form: see `quick`
SIZE, FROZEN_STAGES = 256, 8  # small images, and the whole backbone as pretrained
STRIDES = (8, 16, 32)  # of the backbone's maps
PROPOSALS: dict[str, Any] = {"rpn_pre_nms_top_n": (150, 150), "rpn_post_nms_top_n": (150, 100)}


def first_run(workbook: Workbook, data: str = "mini") -> nn.Module:
    """Load the trained detector of `runs/07`, or train one now with the same settings and save it there.

    A new one is trained if the run there used other data, was shorter than this session's, or can't be loaded. What
    happens is printed.

    Args:
        workbook: the intern's own parts, for a run trained now.
        data: what lesson 07 trains on.

    Returns:
        The detector in eval mode.
    """
    reason = f"There is no run in {FOLDER} yet"
    if (FOLDER / WEIGHTS).is_file():
        try:
            config = load_config(FOLDER)
            if config.data == data and config.training.epochs >= quick(*EPOCHS):
                model = _load(workbook)
                epochs = f"{config.training.epochs} epoch{'s' if config.training.epochs > 1 else ''}"
                print(f"The detector of {FOLDER}, trained on {data} for {epochs}.")
                return model
            reason = f"The run in {FOLDER} used other data, or was shorter"
        except CourseError as error:
            reason = f"The run in {FOLDER} can't be used: {error}"
    print(f"{reason}. Training one now, as in lesson 07; it is saved there.")
    train_set, training = load(data, "train"), _training()
    torch.manual_seed(0)
    config = _config(workbook, train_set, training)
    model = _narrowed(build(config.detector, pretrained=True, parts=_parts(workbook)))
    train(model, train_set.head(quick(*IMAGES)), training)
    keep(workbook, model, train_set, training)
    return model.eval()


def stand_in(dataset: CocoDataset) -> list[dict[str, Tensor]]:
    """Return detections like those of a mediocre detector, for a lesson whose own run finds almost nothing.

    They are the ground truth with noise: a sixth of it is missed, a tenth has another class, a tenth is found twice.
    Each image also gets three false positives with lower scores.
    """
    generator = torch.Generator().manual_seed(0)
    return [_stand_in(dataset, index, generator) for index in range(len(dataset))]


def _stand_in(dataset: CocoDataset, index: int, generator: torch.Generator) -> dict[str, Tensor]:
    target, (height, width) = dataset.target(index), dataset.size(index)
    classes, frame = len(dataset.classes), torch.tensor([width, height])
    boxes, labels = target["boxes"], target["labels"]
    chance = torch.rand(len(boxes), 4, generator=generator)
    rows = torch.cat([torch.where(chance[:, 0] > 1 / 6)[0], torch.where(chance[:, 1] > 0.9)[0]])
    sides = (boxes[rows, 2:] - boxes[rows, :2]).repeat(1, 2)
    noisy = boxes[rows] + 0.07 * sides * torch.randn(len(rows), 4, generator=generator)
    noisy_labels = torch.where(chance[:, 2] > 0.9, labels % classes + 1, labels)[rows]
    false = 0.7 * torch.rand(3, 2, generator=generator) * frame
    false_labels = torch.randint(1, classes + 1, (3,), generator=generator)
    scores = torch.rand(len(rows) + 3, generator=generator)
    scores = torch.cat([0.4 + 0.6 * scores[:-3], 0.1 + 0.6 * scores[-3:]])
    pred_boxes = torch.cat([noisy, torch.cat([false, false + 0.2 * frame], 1)])
    return {
        "boxes": clip_boxes(pred_boxes, (height, width)),
        "labels": torch.cat([noisy_labels, false_labels]),
        "scores": scores,
    }


def options(num_classes: int) -> Options:
    """Return the options of lesson 07's detector: small images, few proposals."""
    sizes = tuple([int(scale * stride) for scale in ANCHOR_SCALES] for stride in STRIDES)
    return Options(num_classes, sizes, min_size=SIZE, max_size=SIZE, **PROPOSALS)


def keep(workbook: Workbook, model: nn.Module, train_set: CocoDataset, training: TrainConfig) -> Path:
    """Save the detector of lesson 07 as a run that names the intern's own parts in it. Return the run's folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_run(FOLDER, model, _config(workbook, train_set, training))
    return FOLDER


def _training() -> TrainConfig:
    return TrainConfig(epochs=quick(*EPOCHS), batch_size=4, precision="fp32", warmup_steps=20)


def _load(workbook: Workbook) -> nn.Module:
    model, _ = load_trained(FOLDER, workbook)
    return _narrowed(model)


def _narrowed(model: Any) -> nn.Module:
    """Limit the proposals to as many as in lesson 07, so that the scores are the same."""
    model.options = type(model.options)(**vars(model.options) | PROPOSALS)
    return model


def _config(workbook: Workbook, train_set: CocoDataset, training: TrainConfig) -> RunConfig:
    parts = sorted(_parts(workbook))
    detector = DetectorConfig(len(train_set.classes), size=SIZE, frozen_stages=FROZEN_STAGES)
    folder = relative_to_run(workbook.folder, FOLDER) if parts else None
    return RunConfig(
        train_set.name, train_set.categories, detector, training,
        workbook=folder, parts=parts, digests=digests(workbook, parts),
    )  # fmt: skip


def _parts(workbook: Workbook) -> dict[str, Callable[..., Any]]:
    """Return the parts of the workbook that pass their checks, by name; none if there is no workbook."""
    return own_parts.functions(own_parts.parts_of(workbook)) if workbook.exists else {}
