"""`coursekit demo` and `coursekit train`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from coursekit.commands.machine import KIND_HELP
from coursekit.commands.named import workbook_for
from coursekit.commands.sources import Images, TrainJson, ValJson, ValShare, with_options
from coursekit.commands.tables import print_metrics
from coursekit.core.config import BACKBONE_LR_DIVISOR, EVALUATE_EVERY, DetectorConfig, TrainConfig, check_kind
from coursekit.core.errors import ConfigError, command

TRAINING, DETECTOR = TrainConfig(), DetectorConfig(num_classes=0)  # the defaults; the data sets num_classes
DATA = "A recipe such as `mini`, or a folder with images and annotations in COCO's format."
Data = Annotated[str | None, typer.Option(help=DATA)]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]


def demo(
    data: Annotated[str | None, typer.Option(help=DATA, show_default="mini")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/demo"),
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images. Default: as many as fit into the time.")
    ] = None,
    overfit: Annotated[
        int | None, typer.Option(help="Train and score on the first N training images: can the detector learn at all?")
    ] = None,
    seed: Seed = TRAINING.seed,
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Train a detector in less than two minutes, score it on unseen images, and draw its predictions."""
    print("Loading PyTorch.", file=sys.stderr)  # some seconds in which nothing else is seen
    from coursekit.runs.demo import demo as run_demo

    data = with_options(data or (None if train_json or images else "mini"), train_json, val_json, images, val_share)
    metrics = run_demo(data, out, epochs=epochs, overfit=overfit, seed=seed)
    print_metrics(metrics, f"{data}: scored on {f'the same {overfit} images' if overfit else 'unseen images'}")
    print(f"Look at {out / 'predictions.png'}, then open the first lesson: make lab (or: coursekit lessons copy work).")


def _number_of_workers(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise ConfigError(f"--workers {text}: give a number from 0, or auto.")
    return int(text)


def train(
    *,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, to the same numbers.")] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the data set.")] = TRAINING.epochs,
    batch: Annotated[int, typer.Option(help="Images per optimizer step, over all processes.")] = TRAINING.batch_size,
    micro_batch: Annotated[
        int | None, typer.Option(help="Images at a time; their gradients accumulate. Default: all of --batch.")
    ] = TRAINING.micro_batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = TRAINING.lr,
    backbone_lr: Annotated[
        float | None, typer.Option(help="Peak learning rate of the backbone. Default: a tenth of --lr.")
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="adamw, or sgd, which needs about 20 times the --lr.")
    ] = TRAINING.optimizer,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of weights; norms and biases have none.")
    ] = TRAINING.weight_decay,
    warmup: Annotated[
        int, typer.Option(help="Steps in which the learning rate rises, before it falls along a cosine.")
    ] = TRAINING.warmup_steps,
    clip: Annotated[float, typer.Option(help="Gradients are clipped to this norm.")] = TRAINING.clip_norm,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or fp16; auto measures which is faster.")
    ] = TRAINING.precision,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile for backbone, FPN and the RPN's or FCOS's head.")
    ] = TRAINING.compile,
    checkpoint_activations: Annotated[
        bool, typer.Option("--checkpoint-activations", help="Recompute activations in backward: slower, less memory.")
    ] = TRAINING.checkpoint_activations,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, or mps (Apple's GPUs, untested). Default: cuda if there is one.")
    ] = None,
    kind: Annotated[str, typer.Option(help=KIND_HELP)] = DETECTOR.kind,
    backbone: Annotated[str, typer.Option(help="Any timm model with features_only.")] = DETECTOR.backbone,
    size: Annotated[int, typer.Option(help="Long side in pixels to which images are resized.")] = DETECTOR.size,
    frozen_stages: Annotated[
        int, typer.Option(help="Number of backbone stages, counted from the image, that are not trained.")
    ] = DETECTOR.frozen_stages,
    workers: Annotated[
        int | None,
        typer.Option(
            parser=_number_of_workers,
            metavar="INTEGER|auto",
            help="Processes that load data ahead of time. Default: auto, what the machine has.",
        ),
    ] = TRAINING.workers,
    pixels: Annotated[bool, typer.Option("--pixels", help="Keep decoded images in the cache: large, fast.")] = False,
    evaluate_every: Annotated[int, typer.Option(help="Epochs between evaluations; 0 for none.")] = EVALUATE_EVERY,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = TRAINING.checkpoint_every,
    detector: Annotated[
        Path | None, typer.Option(help="Your my_detector folder: trains your parts where they pass their checks.")
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="Use the course's version of this part. Can be repeated.")
    ] = None,
    seed: Seed = TRAINING.seed,
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Train a detector and keep it in a folder. Ctrl-C stops it cleanly, and --resume continues it.

    With several GPUs: torchrun --nproc_per_node=2 -m coursekit train …
    """
    from coursekit.core import distributed
    from coursekit.lessons.workbook.own_parts import parts_from, parts_of_run
    from coursekit.lessons.workbook.own_training_step import STEP, files_of_step, step_of, step_of_run
    from coursekit.lessons.workbook.trusted_workbooks import digests, remember
    from coursekit.lessons.workbook.workbook import Workbook
    from coursekit.runs.run_config import load_config
    from coursekit.runs.train_or_resume import check_folder, train_run

    data = with_options(data, train_json, val_json, images, val_share)
    training = TrainConfig(
        epochs=epochs, batch_size=batch, micro_batch=micro_batch, lr=lr,
        backbone_lr=lr / BACKBONE_LR_DIVISOR if backbone_lr is None else backbone_lr, weight_decay=weight_decay,
        warmup_steps=warmup, clip_norm=clip, optimizer=optimizer, precision=precision, compile=compile_,
        checkpoint_activations=checkpoint_activations, workers=workers, seed=seed,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    check_kind(kind)
    config = DetectorConfig(DETECTOR.num_classes, backbone, size, frozen_stages=frozen_stages, kind=kind)
    if reference and not (detector or resume):
        raise ConfigError("--reference: only with --detector, whose parts it leaves out.")
    with distributed.process_group(device):
        check_folder(out, resume)
        workbook = Workbook(detector) if detector else workbook_for(out, []) if resume else None
        if resume:  # with the parts that the run was started with
            parts = parts_of_run(load_config(out), workbook, reference or ())
            step = step_of_run(load_config(out), workbook, reference or ())
        else:
            parts = parts_from(workbook, {*(reference or ())} - {STEP}, kind) if workbook else {}
            step = step_of(workbook, reference or (), compiled=compile_) if workbook else None
        used = digests(workbook, [*parts, *(files_of_step(workbook) if step else ())]) if workbook else {}
        if workbook and used and distributed.rank() == 0:
            remember(workbook, used)
        try:
            train_run(
                data, out, training, config, resume=resume, pixels=pixels, evaluate_every=evaluate_every, parts=parts,
                step=step, workbook=workbook.folder if workbook else None, digests=used, device_name=device,
            )  # fmt: skip
        except KeyboardInterrupt:
            if (out / "last.pt").exists():
                print(
                    f"coursekit: stopped. To continue, repeat the command with --resume; all steps so far are in {out}."
                )
            raise
        if distributed.rank() == 0:
            named = ["--detector", str(detector)] if detector and parts else []
            score = command("coursekit", "evaluate", out, "--data", data, *named)
            print(f"The run is in {out}. Score it: {score}")
