"""Training runs and their scores, folder by folder. `coursekit train` and `coursekit evaluate` call it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec import structs
from torch import nn

from coursekit import distributed
from coursekit.data import CocoDataset, load
from coursekit.data.pixels import with_pixels
from coursekit.doctor import memory_here
from coursekit.errors import SettingError
from coursekit.evaluation import Result, Scores, detect, read_results, score
from coursekit.evaluation.errors import confusion_matrix, split_errors, worst_images
from coursekit.evaluation.scores import truth_of
from coursekit.files import make_folder
from coursekit.memory.fits import advice
from coursekit.memory.setting import GIB, Setting
from coursekit.precision import best_device, helps_bf16
from coursekit.show import loss_curves, save
from coursekit.show.error_pictures import confusion_picture, curves_picture, error_bars, gallery
from coursekit.training import Checkpoints, DetectorConfig, Evaluate, Log, RunConfig, Settings, Step, save_run, train
from coursekit.training.checkpoint import LAST
from coursekit.training.run import CONFIG, WEIGHTS, check_classes, load_config, load_run, save_config
from coursekit.training.settings import check_settings


def train_run(
    data: str,
    out: Path,
    settings: Settings,
    detector: DetectorConfig,
    *,
    resume: bool = False,
    pixels: bool = False,
    evaluate_every: int = 1,
    workbook: Path | None = None,
    reference_for: Sequence[str] = (),
) -> None:
    """Train on the train split, score on the val split, and leave the run in `out`.

    Args:
        data: a recipe's name or a folder laid out as COCO is.
        out: gets config.json, metrics.jsonl, last.pt, best.pt, model.safetensors and curves.png.
        settings: of the training.
        detector: its `num_classes` is taken from the data.
        resume: go on with the run in `out`.
        pixels: decode images once and keep them.
        evaluate_every: epochs from score to score; 0 is never.
        workbook: `my_detector`: each part that passes its check there is trained in the place of the course's. A run
            that goes on takes the parts it was begun with.
        reference_for: parts to take from the course all the same.

    Raises:
        PartError: a part of the workbook failed on data that its check had not tried.
        SettingError: `out` already holds a run, or none to go on with, or an option can't be used, or a part that the
            run was begun with no longer passes its check.
        DataError: the data is not sound.
    """
    check_settings(settings)
    _check_folder(out, resume)
    with distributed.joined() as device:
        train_set = with_pixels(load(data, "train")) if pixels else load(data, "train")
        parts = _parts_again(out, workbook, reference_for) if resume else parts_from(workbook, reference_for)
        config = _config(data, out, settings, detector, train_set, resume)
        config = structs.replace(config, workbook=str(workbook) if workbook else config.workbook, parts=sorted(parts))
        torch.manual_seed(config.settings.seed)
        model = config.detector.build(pretrained=not resume, parts=parts)
        make_folder(out)
        if distributed.rank() == 0:
            save_config(out, config)
        log = Log(out)
        scored = _scored(data, evaluate_every, log)
        hooks = [log, *([scored] if scored else []), Checkpoints(out, scored)]
        checkpoint = out / LAST if resume else None
        say = partial(_advice, config, device)
        history = train(model, train_set, config.settings, device=device, hooks=hooks, resume=checkpoint, advise=say)
        if distributed.rank() == 0:
            save_run(out, model, config)
            write_curves(out, history)


def parts_from(workbook: Path | None, reference_for: Sequence[str] = ()) -> dict[str, Callable[..., Any]]:
    """The parts of a workbook that pass their checks, by name; a table says what is whose. No workbook, no parts.

    Raises:
        SettingError: there is no workbook, or no part of a name in `reference_for`.
    """
    if workbook is None:
        return {}
    from coursekit.lessons import downstream  # above us; only who asks for a workbook needs it

    chosen = downstream.parts_of(workbook, reference_for)
    if distributed.rank() == 0:
        print(downstream.table(chosen))
    return {one.name: one.function for one in chosen if one.function is not None}


def _parts_again(out: Path, workbook: Path | None, reference_for: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The parts that the run in `out` was begun with, but for those the course's shall now stand for."""
    before = load_config(out)
    kept = [name for name in before.parts if name not in reference_for]
    again = structs.replace(before, parts=kept, workbook=str(workbook) if workbook else before.workbook)
    return _parts_of(again) if kept else {}


def load_trained(folder: Path) -> tuple[nn.Module, RunConfig]:
    """As `load_run`, with the parts of the workbook that the run was trained with.

    Raises:
        DataError: there is no run, or a file of it is damaged or does not fit.
        SettingError: those parts no longer pass their checks.
    """
    return load_run(folder, _parts_of)


def _parts_of(config: RunConfig) -> dict[str, Callable[..., Any]]:
    from coursekit.lessons import downstream

    found = {one.name: one.function for one in downstream.parts_of(Path(config.workbook or ""))}
    lost = [name for name in config.parts if found.get(name) is None]
    if lost:
        raise SettingError(
            f"this run was trained with {', '.join(lost)} of {config.workbook}, which no longer pass their checks. Put "
            "the former versions back (they lie in its folder `former`), or train again."
        )
    return {name: part for name in config.parts if (part := found[name]) is not None}


def evaluate_run(folder: Path, data: str, split: str = "val") -> dict[str, float]:
    """COCO's twelve numbers of a run on a split of `data`.

    Raises:
        DataError: the run or the data is not sound, or their classes differ.
    """
    results, dataset = results_of(folder, data, split)
    return score(results, dataset)


def results_of(found: Path, data: str, split: str = "val") -> tuple[list[Result], CocoDataset]:
    """What a run finds in a data set, or what a results file says, and the truth.

    Args:
        found: a run's folder, or a file in COCO's results format.
        data: a recipe's name, a folder laid out as COCO is, or for a results file also an annotation file.
        split: of the data.

    Raises:
        DataError: one of them is not sound, or they don't belong together.
    """
    if found.suffix == ".json":
        dataset = truth_of(Path(data)) if data.endswith(".json") else load(data, split)
        return read_results(found, dataset), dataset
    model, config = load_trained(found)
    dataset = load(data, split)
    check_classes(config, dataset)
    return detect(model.to(best_device()), dataset), dataset


def draw_gallery(folder: Path, results: list[Result], dataset: CocoDataset, scores: Scores, images: int = 8) -> None:
    """Pictures of what went wrong: errors.png, confusion.png, curves.png and, where the images are here, worst.png.

    Raises:
        SettingError: the folder can't be written to.
    """
    make_folder(folder)
    save(error_bars(split_errors(results, dataset)), folder / "errors.png")
    save(confusion_picture(confusion_matrix(results, dataset), dataset.classes), folder / "confusion.png")
    save(curves_picture(scores.curves), folder / "curves.png")
    worst = [one.image_id for one in worst_images(results, dataset, images)]
    if worst and dataset.image_folder.is_dir():
        save(gallery(dataset, results, worst), folder / "worst.png")


def write_curves(out: Path, history: list[Step]) -> None:
    """Write curves.png: the losses and the learning rate."""
    losses = {name: [step.losses[name] for step in history] for name in history[0].losses}
    save(loss_curves([step.step for step in history], losses, [step.lr for step in history]), out / "curves.png")


def _check_folder(out: Path, resume: bool) -> None:
    if (out / WEIGHTS).exists():
        raise SettingError(f"{out}: there is a trained run here already. Choose another --out, or remove it.")
    if (out / LAST).exists() and not resume:
        raise SettingError(f"{out}: a run is under way here. Go on with --resume, or choose another --out.")
    if resume and not (out / CONFIG).exists():
        raise SettingError(f"{out}: no run to go on with. Leave out --resume.")


def _config(
    data: str, out: Path, settings: Settings, detector: DetectorConfig, train_set: CocoDataset, resume: bool
) -> RunConfig:
    """What is asked for; on --resume it must be what the run was begun with."""
    made = structs.replace(detector, num_classes=len(train_set.classes))
    config = RunConfig(data, train_set.categories, made, settings)
    if resume:
        before = load_config(out)
        other = [
            f"{name} {getattr(old, name)} there, {getattr(new, name)} here"
            for old, new in ((before.detector, config.detector), (before, config))
            for name in old.__struct_fields__
            if name not in ("settings", "detector", "version", "overfit", "workbook", "parts")
            and getattr(old, name) != getattr(new, name)
        ]
        if other:
            raise SettingError(f"{out}: a run of another kind ({'; '.join(other)[:300]}). Choose another --out.")
        return structs.replace(config, workbook=before.workbook)
    return config


def _advice(config: RunConfig, device: torch.device) -> str:
    """The planner's, for one image at a time on this device."""
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else memory_here()
    return advice(structs.replace(setting_of(config, device), batch=1, accumulates=True), total / GIB)


def setting_of(config: RunConfig, device: torch.device) -> Setting:
    """A run as the planner sees it, on a device."""
    settings, detector = config.settings, config.detector
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if helps_bf16(device) else "fp32"
    batch = settings.micro_batch or settings.batch_size
    return Setting(
        backbone=detector.backbone,
        size=(detector.size, detector.size),
        batch=batch,
        precision=precision,
        frozen_stages=detector.frozen_stages,
        optimizer=settings.optimizer,
        accumulates=batch < settings.batch_size,
        num_classes=detector.num_classes,
        channels=detector.channels,
        hidden=detector.hidden,
        device="cuda" if device.type == "cuda" else "cpu",
    )


def _scored(data: str, every: int, log: Log) -> Evaluate | None:
    if not every:
        return None
    val_set = load(data, "val")

    def scores(model: nn.Module) -> dict[str, float]:
        results = detect(model, val_set)  # each process its share; the first gets all
        found: dict[str, float] = distributed.told(score(results, val_set) if distributed.rank() == 0 else {})
        return found

    return Evaluate(scores, log, every)
