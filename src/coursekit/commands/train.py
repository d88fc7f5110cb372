"""`coursekit demo` and `coursekit train`."""

from pathlib import Path
from typing import Annotated

import typer

from coursekit.commands.tables import print_metrics
from coursekit.core.config import DetectorConfig, TrainConfig

Data = Annotated[str, typer.Option(help="`mini`, or a folder laid out as COCO is.")]


def demo(
    data: Data = "mini",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/demo"),
    overfit: Annotated[
        int | None, typer.Option(help="Train and score on the first N training images: can it learn at all?")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
) -> None:
    """Train a detector in a few minutes, score it on images it has not seen, and draw what it found."""
    from coursekit.runs.demo import demo as run_demo  # torch takes seconds to import: not for --help

    metrics = run_demo(data, out, overfit=overfit, seed=seed)
    what = f"the same {overfit} images" if overfit else "images it has not seen"
    print_metrics(metrics, f"{data}: scored on {what}")
    print(
        f"Now look at {out / 'predictions.png'}, then open the first lesson: make lab (or: coursekit lessons copy work)"
    )


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, to the same numbers.")] = False,
    epochs: Annotated[int, typer.Option(help="How often every image is seen.")] = 12,
    batch: Annotated[int, typer.Option(help="Images an optimizer step, over all processes.")] = 8,
    micro_batch: Annotated[
        int | None, typer.Option(help="Images at a time, gradients added up; default: all of --batch.")
    ] = None,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    backbone_lr: Annotated[float | None, typer.Option(help="That of the backbone; default: a tenth of --lr.")] = None,
    optimizer: Annotated[str, typer.Option(help="adamw, or sgd, which wants some 20 times the --lr.")] = "adamw",
    weight_decay: Annotated[float, typer.Option(help="Of weights; norms and biases have none.")] = 1e-4,
    warmup: Annotated[int, typer.Option(help="Steps in which the rate rises; then it falls along a cosine.")] = 30,
    clip: Annotated[float, typer.Option(help="The longest gradient.")] = 10.0,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; auto is bf16 where that helps.")] = "auto",
    compile_: Annotated[bool, typer.Option("--compile", help="torch.compile for backbone, FPN and RPN head.")] = False,
    backbone: Annotated[str, typer.Option(help="Any timm model with features_only.")] = "tf_efficientnet_lite0",
    size: Annotated[int, typer.Option(help="Long side in pixels that images are resized to.")] = 320,
    frozen_stages: Annotated[int, typer.Option(help="First stages of the backbone that are not trained.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes that read ahead.")] = 0,
    pixels: Annotated[bool, typer.Option("--pixels", help="Keep decoded images in the cache: large, fast.")] = False,
    evaluate_every: Annotated[int, typer.Option(help="Epochs from score to score; 0 is never.")] = 1,
    checkpoint_every: Annotated[int, typer.Option(help="Steps from checkpoint to checkpoint.")] = 200,
    detector: Annotated[
        Path | None, typer.Option(help="Your my_detector: what passes its check there is trained.")
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="A part to take from the course all the same; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
) -> None:
    """Train a detector and keep it. Ctrl-C ends it cleanly, and with --resume it goes on.

    With several GPUs: torchrun --nproc_per_node=2 -m coursekit train …
    """
    from coursekit.core import distributed
    from coursekit.lessons.workbook.own_parts import parts_from, parts_of_run
    from coursekit.runs.config import load_config
    from coursekit.runs.train import check_folder, train_run

    training = TrainConfig(
        epochs=epochs, batch_size=batch, micro_batch=micro_batch, lr=lr, backbone_lr=backbone_lr or lr / 10,
        weight_decay=weight_decay, warmup_steps=warmup, clip_norm=clip, optimizer=optimizer, precision=precision,
        compile=compile_, workers=workers, seed=seed, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    made = DetectorConfig(0, backbone=backbone, size=size, frozen_stages=frozen_stages)
    check_folder(out, resume)
    with distributed.joined():
        if resume:  # with the parts that the run was begun with
            parts = parts_of_run(load_config(out), detector, reference or ())
        else:
            parts = parts_from(detector, reference or ()) if detector else {}
        try:
            train_run(
                data, out, training, made, resume=resume, pixels=pixels, evaluate_every=evaluate_every, parts=parts,
                workbook=detector,
            )  # fmt: skip
        except KeyboardInterrupt:
            if (out / "last.pt").exists():
                print(f"coursekit: stopped. Go on with the same command and --resume; {out} has all that is done.")
            raise
        if distributed.rank() == 0:
            print(f"Kept in {out}. Score it: coursekit evaluate {out} --data {data}")
