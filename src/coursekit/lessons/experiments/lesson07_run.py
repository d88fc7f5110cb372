"""The detector that lesson 07 trains, kept for the lessons after it."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import CourseError
from coursekit.data import CocoDataset, load
from coursekit.detector.boxes import clip_boxes
from coursekit.lessons.notebooks.lengths import length
from coursekit.lessons.workbook import own_parts as downstream
from coursekit.lessons.workbook import workbook
from coursekit.lessons.workbook.own_parts import load_trained
from coursekit.runs.config import RunConfig, load_config
from coursekit.runs.load import WEIGHTS, build, save_run
from coursekit.training import TrainConfig, train

FOLDER = Path("runs") / "07"  # beside the notebooks
SIZE, FROZEN_STAGES = 256, 8  # as in lesson 07: small images, and all of the backbone as pre-trained
PROPOSALS: dict[str, Any] = {"rpn_pre_nms_top_n": (150, 150), "rpn_post_nms_top_n": (150, 100)}


def first_run() -> nn.Module:
    """The trained detector of `runs/07` in eval mode, or one trained now with the same settings, and kept there.

    It is trained anew where the run there is of other data or shorter than this session's, or can't be loaded any more.
    Which it is, is printed.
    """
    data = os.environ.get("COURSEKIT_DATA", "mini")
    reason = f"There is no run in {FOLDER} yet"
    if (FOLDER / WEIGHTS).is_file():
        try:
            config = load_config(FOLDER)
            if config.data == data and config.training.epochs >= length("07 epochs"):
                model = _load()
                print(f"The detector of {FOLDER}, trained on {data} for {config.training.epochs} epochs.")
                return model
            reason = f"The run in {FOLDER} is of other data, or shorter"
        except CourseError as error:
            reason = f"The run in {FOLDER} can't be used: {error}"
    print(f"{reason}: one is trained now, as in lesson 07, and kept there.")
    train_set, training = load(data, "train"), _training()
    torch.manual_seed(0)
    model = _narrowed(build(_config(train_set, training).detector, pretrained=True, parts=_parts()))
    train(model, train_set.head(length("07 images to train on")), training)
    keep(model, train_set, training)
    return model.eval()


def stand_in(dataset: CocoDataset) -> list[dict[str, Tensor]]:
    """Detections such as a middling detector makes: for a lesson on them where the run at hand finds next to nothing.

    The truth, shaken; a sixth is missed, a tenth has another class, a tenth is found twice; and false boxes, less sure.
    """
    generator, most = torch.Generator().manual_seed(0), len(dataset.classes)
    found = []
    for place in range(len(dataset)):
        target, (width, height) = dataset.target(place), dataset.size(place)
        frame = torch.tensor([width, height])
        boxes, labels = target["boxes"], target["labels"]
        chance = torch.rand(len(boxes), 4, generator=generator)
        rows = torch.cat([torch.where(chance[:, 0] > 1 / 6)[0], torch.where(chance[:, 1] > 0.9)[0]])
        sides = (boxes[rows, 2:] - boxes[rows, :2]).repeat(1, 2)
        shaken = boxes[rows] + 0.07 * sides * torch.randn(len(rows), 4, generator=generator)
        named = torch.where(chance[:, 2] > 0.9, labels % most + 1, labels)[rows]
        false = 0.7 * torch.rand(3, 2, generator=generator) * frame
        anything = torch.randint(1, most + 1, (3,), generator=generator)
        scores = torch.rand(len(rows) + 3, generator=generator)
        scores = torch.cat([0.4 + 0.6 * scores[:-3], 0.1 + 0.6 * scores[-3:]])
        every = torch.cat([shaken, torch.cat([false, false + 0.2 * frame], 1)])
        found.append(
            {"boxes": clip_boxes(every, (height, width)), "labels": torch.cat([named, anything]), "scores": scores}
        )
    return found


def keep(model: nn.Module, train_set: CocoDataset, training: TrainConfig) -> Path:
    """Save the detector of lesson 07 as a run, with which of its parts are the intern's. Returns its folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_run(FOLDER, model, _config(train_set, training))
    return FOLDER


def _training() -> TrainConfig:
    return TrainConfig(epochs=length("07 epochs"), batch_size=4, precision="fp32", warmup_steps=20)


def _load() -> nn.Module:
    model, _ = load_trained(FOLDER)
    return _narrowed(model)


def _narrowed(model: Any) -> nn.Module:
    """With as many proposals as lesson 07 takes, so that its scores come out again."""
    model.options = type(model.options)(**vars(model.options) | PROPOSALS)
    return model


def _config(train_set: CocoDataset, training: TrainConfig) -> RunConfig:
    parts, detector = sorted(_parts()), DetectorConfig(len(train_set.classes), size=SIZE, frozen_stages=FROZEN_STAGES)
    mine = str(workbook.folder()) if parts else None
    return RunConfig(train_set.name, train_set.categories, detector, training, workbook=mine, parts=parts)


def _parts() -> dict[str, Any]:
    """The parts of the workbook that pass their checks."""
    if not (workbook.folder() / "__init__.py").is_file():
        return {}
    found = downstream.parts_of(workbook.folder())
    return {one.name: one.function for one in found if one.function is not None}
