"""Training runs and their scores, folder by folder. `coursekit train` and `coursekit evaluate` call it."""

from functools import partial
from pathlib import Path

import torch
from msgspec import structs
from torch import nn

from coursekit.core import distributed
from coursekit.core.config import DetectorConfig, check_config
from coursekit.core.device import helps_bf16, memory_here
from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder
from coursekit.data import CocoDataset, load
from coursekit.evaluation import predict_dataset, score
from coursekit.memory.planner import advice
from coursekit.memory.step_config import GIB, StepConfig
from coursekit.runs.config import CONFIG, RunConfig, load_config, save_config
from coursekit.runs.load import WEIGHTS, Parts, build, save_run
from coursekit.runs.pictures import write_curves
from coursekit.training import Checkpoints, Evaluate, Log, TrainConfig, train
from coursekit.training.checkpoint import LAST


def train_run(
    data: str,
    out: Path,
    training: TrainConfig,
    detector: DetectorConfig,
    *,
    resume: bool = False,
    pixels: bool = False,
    evaluate_every: int = 1,
    parts: Parts | None = None,
    workbook: Path | None = None,
) -> None:
    """Train on the train split, score on the val split, and leave the run in `out`.

    Args:
        data: a recipe's name or a folder laid out as COCO is.
        out: gets config.json, metrics.jsonl, last.pt, best.pt, model.safetensors and curves.png.
        training: of the training.
        detector: its `num_classes` is taken from the data.
        resume: go on with the run in `out`.
        pixels: decode images once and keep them.
        evaluate_every: epochs from score to score; 0 is never.
        parts: functions and classes that replace the course's, by name; see `build_detector`.
        workbook: the folder that `parts` came from; the run remembers it.

    Raises:
        PartError: a part of the workbook failed on data that its check had not tried.
        ConfigError: `out` already holds a run, or none to go on with, or an option can't be used, or a part that the
            run was begun with no longer passes its check.
        DataError: the data is not sound.
    """
    check_config(training)
    check_folder(out, resume)
    with distributed.joined() as device:
        train_set = load(data, "train").with_pixels() if pixels else load(data, "train")
        config = _config(data, out, training, detector, train_set, resume)
        config = structs.replace(
            config, workbook=str(workbook) if workbook else config.workbook, parts=sorted(parts or {})
        )
        torch.manual_seed(config.training.seed)
        model = build(config.detector, pretrained=not resume, parts=parts)
        make_folder(out)
        if distributed.rank() == 0:
            save_config(out, config)
        log = Log(out)
        scored = _scored(data, evaluate_every, log)
        hooks = [log, *([scored] if scored else []), Checkpoints(out, scored)]
        checkpoint = out / LAST if resume else None
        say = partial(_advice, config, device)
        history = train(model, train_set, config.training, device=device, hooks=hooks, resume=checkpoint, advise=say)
        if distributed.rank() == 0:
            save_run(out, model, config)
            write_curves(out, history)


def check_folder(out: Path, resume: bool) -> None:
    """Check that a run can begin in a folder, or go on with the one there.

    Raises:
        ConfigError: there is a run already, or none to go on with.
    """
    if (out / WEIGHTS).exists():
        raise ConfigError(f"{out}: there is a trained run here already. Choose another --out, or remove it.")
    if (out / LAST).exists() and not resume:
        raise ConfigError(f"{out}: a run is under way here. Go on with --resume, or choose another --out.")
    if resume and not (out / CONFIG).exists():
        raise ConfigError(f"{out}: no run to go on with. Leave out --resume.")


def _config(
    data: str, out: Path, training: TrainConfig, detector: DetectorConfig, train_set: CocoDataset, resume: bool
) -> RunConfig:
    """What is asked for; on --resume it must be what the run was begun with."""
    made = structs.replace(detector, num_classes=len(train_set.classes))
    config = RunConfig(data, train_set.categories, made, training)
    if resume:
        before = load_config(out)
        other = [
            f"{name} {getattr(old, name)} there, {getattr(new, name)} here"
            for old, new in ((before.detector, config.detector), (before, config))
            for name in old.__struct_fields__
            if name not in ("training", "detector", "version", "overfit", "workbook", "parts")
            and getattr(old, name) != getattr(new, name)
        ]
        if other:
            raise ConfigError(f"{out}: a run of another kind ({'; '.join(other)[:300]}). Choose another --out.")
        return structs.replace(config, workbook=before.workbook)
    return config


def _advice(config: RunConfig, device: torch.device) -> str:
    """The planner's, for one image at a time on this device."""
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else memory_here()
    return advice(structs.replace(setting_of(config, device), batch=1, accumulates=True), total / GIB)


def setting_of(config: RunConfig, device: torch.device) -> StepConfig:
    """A run as the planner sees it, on a device."""
    training, detector = config.training, config.detector
    precision = training.precision
    if precision == "auto":
        precision = "bf16" if helps_bf16(device) else "fp32"
    batch = training.micro_batch or training.batch_size
    return StepConfig(
        backbone=detector.backbone,
        size=(detector.size, detector.size),
        batch=batch,
        precision=precision,
        frozen_stages=detector.frozen_stages,
        optimizer=training.optimizer,
        accumulates=batch < training.batch_size,
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
        results = predict_dataset(model, val_set)  # each process its share; the first gets all
        found: dict[str, float] = distributed.told(score(results, val_set) if distributed.rank() == 0 else {})
        return found

    return Evaluate(scores, log, every)
