"""Train a detector and keep it in a run's folder. `coursekit train` calls it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from msgspec import Struct, structs
from torch import nn

from coursekit.core import distributed
from coursekit.core.config import EVALUATE_EVERY, DetectorConfig, check_config, check_detector
from coursekit.core.device import choose_precision, total_memory
from coursekit.core.errors import ConfigError
from coursekit.core.files import check_inside
from coursekit.core.lock import alone_in
from coursekit.data import CocoDataset, load
from coursekit.data.train_and_val import check_splits
from coursekit.evaluation import predict_dataset, score
from coursekit.memory.planner import advice
from coursekit.memory.step_config import GIB, StepConfig
from coursekit.runs.run_config import CONFIG, RunConfig, load_config, relative_to_run, save_config
from coursekit.runs.save_and_load import WEIGHTS, Parts, build, save_run
from coursekit.runs.write_pictures import write_curves
from coursekit.training import Checkpoints, Evaluate, Hook, Log, TrainConfig, train
from coursekit.training.checkpoint import LAST
from coursekit.training.hooks import METRICS, read_metrics
from coursekit.training.loop import StepFunction
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import Run


def train_run(
    data: str,
    out: Path,
    training: TrainConfig,
    detector: DetectorConfig,
    *,
    resume: bool = False,
    pixels: bool = False,
    evaluate_every: int = EVALUATE_EVERY,
    parts: Parts | None = None,
    step: StepFunction | None = None,
    workbook: Path | None = None,
    digests: Mapping[str, str] | None = None,
    device_name: str | None = None,
) -> None:
    """Train on the train split, score on the val split, and write the run to `out`.

    Args:
        data: name of a recipe, or a folder in COCO's layout.
        out: folder for config.json, metrics.jsonl, last.pt, best.pt, model.safetensors and curves.png.
        training: configuration of the training.
        detector: configuration of the detector. Its `num_classes` is replaced by that of the data.
        resume: continue the run in `out`.
        pixels: decode the images once and keep them in the cache.
        evaluate_every: epochs between evaluations; 0 for none.
        parts: functions and classes that replace the course's, by name, and have passed their checks; see `build`.
        step: takes the training steps in place of the course's; see `train`.
        workbook, digests: where `parts` and `step` came from; see `RunConfig`. A resumed run keeps its own by default.
        device_name: see `choose_device`.

    Raises:
        ConfigError: `out` already holds a run, there is none to resume or it has other options, another training is
            writing there, or an option can't be used.
        DataError: the data or the run in `out` can't be used.
        CourseError: see `train`; or a replaced part failed.
    """
    check_config(training)
    if evaluate_every < 0:
        raise ConfigError(f"evaluate_every is {evaluate_every}: it can't be negative. 0 means never.")
    with distributed.process_group(device_name) as device, _alone_in(out):
        _check_state(out, resume)
        train_set = load(data, "train").with_pixels() if pixels else load(data, "train")
        val_set = load(data, "val") if evaluate_every else None
        check_splits(train_set.index, val_set.index if val_set else None)
        config = RunConfig(
            data,
            train_set.categories,
            structs.replace(detector, num_classes=len(train_set.classes)),
            training,
            workbook=relative_to_run(workbook, out) if workbook else None,
            parts=sorted(parts or {}),
            own_step=step is not None,
            digests=dict(digests or {}),
        )
        check_detector(config.detector)
        if resume:
            config = _resumed(out, config)
        torch.manual_seed(config.training.seed)
        model = build(config.detector, pretrained=not resume, parts=parts)
        _train_and_save(out, model, config, train_set, val_set, device, resume, evaluate_every, step or optimizer_step)


def _train_and_save(
    out: Path,
    model: nn.Module,
    config: RunConfig,
    train_set: CocoDataset,
    val_set: CocoDataset | None,
    device: torch.device,
    resume: bool,
    evaluate_every: int,
    step: StepFunction,
) -> None:
    log = Log(out)
    evaluate = _evaluate_hook(val_set.with_classes(config.categories), evaluate_every, log) if val_set else None
    history = train(
        model,
        train_set,
        config.training,
        device=device,
        hooks=[_KeepConfig(out, config), log, *([evaluate] if evaluate else []), Checkpoints(out, evaluate)],
        resume=out / LAST if resume else None,
        advise=partial(_advice, config, device),
        step=step,
    )
    if distributed.rank() == 0:
        if config.training.precision == "auto":
            config = structs.replace(config, measured={device.type: str(model.precision)})
        write_curves(out, history)
        save_run(out, model, config)  # last: from then on, the run can't be resumed


class _KeepConfig(Hook):
    """Write `config.json` when the first step is about to start: a resume that fails leaves the run as it was."""

    def __init__(self, out: Path, config: RunConfig) -> None:
        self.out, self.config = out, config

    def before_run(self, run: Run) -> None:
        if distributed.rank() == 0:
            save_config(self.out, self.config)


def _alone_in(out: Path) -> AbstractContextManager[None]:
    """Let no other training write into a run's folder. Of several processes, the first one sees to it for all."""
    return alone_in(out, "training") if distributed.rank() == 0 else nullcontext()


def check_folder(out: Path, resume: bool) -> None:
    """Check that a run can start in a folder, or that there is one to resume.

    Raises:
        ConfigError: there is a run already, or none to resume, or another training run is writing there.
        DataError: the run to resume is damaged.
    """
    if out.exists():
        with _alone_in(out):
            pass
    _check_state(out, resume)


def _check_state(out: Path, resume: bool) -> None:
    if resume and (out / CONFIG).exists():
        load_config(out)  # refuses a run of another format before anything else is said of it
    if (out / WEIGHTS).exists():
        raise ConfigError(f"{out}: there is a trained run here already. Choose another --out, or remove it.")
    if (out / LAST).exists() and not resume:
        raise ConfigError(f"{out}: an unfinished run is here. Continue it with --resume, or choose another --out.")
    if resume and not (out / CONFIG).exists():
        raise ConfigError(f"{out}: there is no run to resume. Leave out --resume.")
    if resume:
        read_metrics(check_inside(out / METRICS, out))


def _resumed(out: Path, config: RunConfig) -> RunConfig:
    """Return the configuration with which the run in `out` continues.

    Raises:
        ConfigError: the data or the detector is not that of the run. The checkpoint checks the training's options.
    """
    saved = load_config(out)
    different = _differences(saved, config, ("data", "categories"))
    different += _differences(saved.detector, config.detector, DetectorConfig.__struct_fields__)
    if different:
        raise ConfigError(
            f"{out}: the options differ from the run's ({'; '.join(different)[:300]}). Continue it with its own "
            "options, or choose another --out."
        )
    return structs.replace(config, workbook=config.workbook or saved.workbook, digests=config.digests or saved.digests)


def _differences(before: Struct, now: Struct, names: Sequence[str]) -> list[str]:
    pairs = [(name, getattr(before, name), getattr(now, name)) for name in names]
    return [f"{name} {there} in the run, {here} now" for name, there, here in pairs if there != here]


def _advice(config: RunConfig, device: torch.device) -> str:
    """Return the planner's advice, for one image at a time on this device."""
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else total_memory()
    return advice(structs.replace(step_config_of(config, device), batch=1, accumulates=True), total / GIB)


def step_config_of(config: RunConfig, device: torch.device) -> StepConfig:
    """Return a run's training step as the memory planner describes it."""
    training, detector = config.training, config.detector
    batch = training.micro_batch or training.batch_size
    return StepConfig(
        backbone=detector.backbone,
        size=(detector.size, detector.size),
        batch=batch,
        precision=config.measured.get(device.type) or choose_precision(device, training.precision),
        frozen_stages=detector.frozen_stages,
        optimizer=training.optimizer,
        accumulates=batch < training.batch_size,
        checkpoints=training.checkpoint_activations,
        num_classes=detector.num_classes,
        channels=detector.channels,
        hidden=detector.hidden,
        kind=detector.kind,
        device="cuda" if device.type == "cuda" else "cpu",
    )


def _evaluate_hook(val_set: CocoDataset, every: int, log: Log) -> Evaluate:
    """Return the hook that scores the model on the val split, for each process."""

    def score_model(model: nn.Module) -> dict[str, float]:
        results = predict_dataset(model, val_set)  # each process runs its share; the first one gets all results
        metrics: dict[str, float] = distributed.broadcast(score(results, val_set) if distributed.rank() == 0 else {})
        return metrics

    return Evaluate(score_model, log, every)
