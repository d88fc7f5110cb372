"""The command line: `coursekit …`. Thin: it reads options, calls the library, prints a table."""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from coursekit.errors import CourseError, SettingError

if TYPE_CHECKING:
    from coursekit.data import CocoDataset
    from coursekit.evaluation import Result, Scores

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
lessons_app = typer.Typer(no_args_is_help=True, help="Build the notebooks, or copy them to where you work.")
app.add_typer(lessons_app, name="lessons")
data_app = typer.Typer(no_args_is_help=True, help="Subsets of COCO: build, list, look into, verify.")
app.add_typer(data_app, name="data")

Data = Annotated[str, typer.Option(help="`mini`, or a folder laid out as COCO is.")]
MEANINGS = {
    "AP": "mean over IoU 0.50 to 0.95", "AP50": "a box is right at IoU 0.50", "AP75": "a box is right at IoU 0.75",
    "AP_small": "area under 32²", "AP_medium": "area 32² to 96²", "AP_large": "area over 96²",
    "AR_1": "recall with 1 box an image", "AR_10": "with 10", "AR_100": "with 100",
    "AR_small": "recall, area under 32²", "AR_medium": "32² to 96²", "AR_large": "over 96²",
}  # fmt: skip


def main() -> None:
    """Run the command line. What the user can put right ends in one line and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"coursekit: {message}\n"
    try:
        app()
    except CourseError as error:
        print(f"coursekit: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("coursekit: stopped.", file=sys.stderr)
        sys.exit(130)


@app.command()
def demo(
    data: Data = "mini",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/demo"),
    overfit: Annotated[
        int | None, typer.Option(help="Train and score on the first N training images: can it learn at all?")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
) -> None:
    """Train a detector in a few minutes, score it on images it has not seen, and draw what it found."""
    from coursekit.demo import demo as run_demo  # torch takes seconds to import: not for --help

    metrics = run_demo(data, out, overfit=overfit, seed=seed)
    what = f"the same {overfit} images" if overfit else "images it has not seen"
    print_metrics(metrics, f"{data}: scored on {what}")
    print(
        f"Now look at {out / 'predictions.png'}, then open the first lesson: make lab (or: coursekit lessons copy work)"
    )


@app.command()
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
    from coursekit.distributed import rank
    from coursekit.runs import train_run
    from coursekit.training import DetectorConfig, Settings

    settings = Settings(
        epochs=epochs, batch_size=batch, micro_batch=micro_batch, lr=lr, backbone_lr=backbone_lr or lr / 10,
        weight_decay=weight_decay, warmup_steps=warmup, clip_norm=clip, optimizer=optimizer, precision=precision,
        compile=compile_, workers=workers, seed=seed, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    made = DetectorConfig(0, backbone=backbone, size=size, frozen_stages=frozen_stages)
    try:
        train_run(
            data, out, settings, made, resume=resume, pixels=pixels, evaluate_every=evaluate_every,
            workbook=detector, reference_for=reference or (),
        )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "last.pt").exists():
            print(f"coursekit: stopped. Go on with the same command and --resume; {out} has all that is done.")
        raise
    if rank() == 0:
        print(f"Kept in {out}. Score it: coursekit evaluate {out} --data {data}")


@app.command()
def evaluate(
    found: Annotated[Path, typer.Argument(help="A run's folder, or a results file in COCO's format (.json).")],
    data: Annotated[str, typer.Option(help="`mini`, a folder laid out as COCO is, or an annotation file (.json).")],
    split: Annotated[str, typer.Option(help="`val`, or `train` to see what it has merely learned by heart.")] = "val",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also AP, boxes and best threshold by class.")] = False,
    gallery: Annotated[Path | None, typer.Option(help="Folder for pictures of what went wrong.")] = None,
) -> None:
    """Score a trained detector, or a results file, with COCO's numbers; say what is wrong where the score is."""
    from coursekit.evaluation import evaluate as evaluate_results
    from coursekit.evaluation.diagnose import diagnose
    from coursekit.runs import draw_gallery, results_of

    results, dataset = results_of(found, data, split)
    scores = evaluate_results(results, dataset)
    if gallery:
        draw_gallery(gallery, results, dataset, scores)
    findings = diagnose(results, dataset)
    if as_json:
        causes = [{"cause": one.cause, "evidence": one.evidence, "cure": one.cure} for one in findings]
        print(json.dumps(scores.metrics | {"per_class": scores.as_json()["per_class"], "findings": causes}))
        return
    print_metrics(scores.metrics, f"{found} on {data}, {split}")
    if per_class:
        print_classes(scores, results, dataset)
    for one in findings:
        print(one)
    if gallery:
        print(f"What went wrong, in pictures: {gallery}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run that has ended.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the report; by default RUN/report.")] = None,
    data: Annotated[str | None, typer.Option(help="What to score it on; by default what it was trained on.")] = None,
    split: Annotated[str, typer.Option(help="`val` or `train`.")] = "val",
    workbook: Annotated[
        Path | None, typer.Option(help="Your my_detector; by default the run's, else the one beside your notebooks.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Markdown with questions of your own: `## Title`, and under it what you ask.")
    ] = None,
) -> None:
    """Write the experience report of a run: Markdown, and one HTML file that stands alone. Answers are kept."""
    import os

    from coursekit.report import read_questions, write_report
    from coursekit.training.run import load_config

    chosen = workbook or load_config(run).workbook
    if chosen:
        os.environ["COURSEKIT_WORKBOOK"] = str(chosen)
    page = write_report(run, out or run / "report", read_questions(questions), data=data, split=split)
    print(f"{page} stands alone: open it in a browser. Answer in {page.with_name('report.md')}, or in lesson 10.")


@app.command()
def submit(
    name: Annotated[str, typer.Option(help="Yours: the file is called after it.")],
    folder: Annotated[Path, typer.Argument(help="Where your notebooks and my_detector are: by default here.")] = Path(),
    out: Annotated[Path, typer.Option(help="Folder for the file.")] = Path(),
    journal: Annotated[
        bool, typer.Option("--journal", help="Your journal goes along; else it stays with you.")
    ] = False,
) -> None:
    """Pack your work into one file to hand in, and say what is in it and what is missing."""
    from coursekit.grading.pack import file_name, pack

    packed = pack(folder, out / file_name(name), journal=journal)
    print(f"{packed.file}: {', '.join(packed.contents)}.")
    for one in packed.missing:
        print(f"not in it: {one}.")


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="Zips, folders or notebooks, one an intern; or one of those.")],
    out: Annotated[Path, typer.Option(help="Folder for the grades and pages.")] = Path("grades"),
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Submissions at a time; each takes a core and 1 GB.")] = 2,
    hidden: Annotated[Path | None, typer.Option(help="Folder of your own cases, NAME.py each.")] = None,
    lesson: Annotated[list[int] | None, typer.Option(help="Only this lesson; may be repeated.")] = None,
    borrowed: Annotated[float, typer.Option(min=0, max=1, help="Share of points for a borrowed answer.")] = 1.0,
    hint_penalty: Annotated[
        float, typer.Option(min=0, max=0.25, help="Share of points that each hint, and the answer shown, takes.")
    ] = 0.0,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Without a sandbox: answers can do what you can.")] = False,
) -> None:
    """Grade a class: a table, a page for the class, and a page of feedback for each intern."""
    from coursekit.grading.grade import grade as grade_class
    from coursekit.grading.marks import Terms
    from coursekit.grading.pages import write_pages
    from coursekit.report.text import counted

    if unsafe:
        print("coursekit: --unsafe: answers run as you, with your files and your network.", file=sys.stderr)
    graded = grade_class(folder, out, jobs=jobs, hidden=hidden, lessons=lesson or (), is_sealed=not unsafe)
    write_pages(out, graded, Terms(borrowed, hint_penalty))
    tried = sum(one.tried for one in graded)
    told = f"{counted(len(graded), 'submission')}, {counted(tried, 'answer')} tried"
    print(f"{told}; what had not changed was not run again.")
    print(f"{out / 'class.html'}, {out / 'grades.csv'}, and a page for each intern in {out / 'feedback'}")


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="A run's folder, or a results file.")],
    run_b: Annotated[Path, typer.Argument(help="Another one.")],
    data: Annotated[str, typer.Option(help="What both are scored on.")],
    split: Annotated[str, typer.Option(help="`val` or `train`.")] = "val",
    draws: Annotated[int, typer.Option(help="Samples of images for the interval.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Is run B better than run A? The difference in AP, with an interval over images, and whether it means anything."""
    from dataclasses import asdict

    from coursekit.evaluation.compare import compare as compare_results
    from coursekit.runs import results_of

    (first, dataset), (second, _) = results_of(run_a, data, split), results_of(run_b, data, split)
    comparison = compare_results(first, second, dataset, draws=draws, seed=seed)
    print(json.dumps(asdict(comparison) | {"verdict": comparison.verdict}) if as_json else comparison)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A folder that demo or train wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    threshold: Annotated[float, typer.Option(help="The lowest score to draw.")] = 0.5,
    out: Annotated[Path, typer.Option(help="Folder for the drawn pictures.")] = Path("predictions"),
) -> None:
    """Draw what a trained detector finds in pictures. A file that can't be read is named, and the rest goes on."""
    from coursekit.predict import predict as draw_all

    unread = 0
    for one in draw_all(run, images, out, threshold=threshold):
        unread += one.out is None
        found = ", ".join(f"{count} {name}" for name, count in one.found.items()) or "nothing"
        if one.out is None:
            print(f"coursekit: {one.problem}", file=sys.stderr)
        else:
            print(f"{one.file}: {found} → {one.out}")
    if unread:
        print(f"coursekit: {unread} of {len(images)} files could not be read.", file=sys.stderr)
        raise typer.Exit(2)


@app.command()
def plan(
    vram: Annotated[float | None, typer.Option(help="GB of the card; default: of the one here, else 4.")] = None,
    backbone: Annotated[str, typer.Option(help="Any timm model with features_only.")] = "tf_efficientnet_lite0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a few steps on the card first.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw EfficientNet-B3 at full COCO size on 4 GB here.")] = None,
) -> None:
    """What fits on a card: image size by batch, and the setting to begin with. It needs no GPU."""
    from coursekit.memory.plan import plan_command

    plan_command(vram, backbone, as_json=as_json, calibrate=calibrate, picture=picture)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """What this machine can do: Python, torch, CPU, GPU, disk, weights, data; each with what it means."""
    from coursekit import doctor as doctors

    findings = doctors.examine()
    if as_json:
        print(json.dumps(doctors.as_json(findings)))
        return
    table = Table("", "what", "here", "what it means")
    for finding in findings:
        table.add_row("ok" if finding.ok else "look", finding.name, finding.value, finding.meaning)
    Console().print(table)


@lessons_app.command("build")
def lessons_build(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; name what is stale.")] = False,
) -> None:
    """Make the notebooks of `solutions/` and `course/` from `solutions/*.py`."""
    from coursekit.lessons.build import build  # jupytext is an extra

    for path in build(check=check):
        print(path)


@lessons_app.command("copy")
def lessons_copy(folder: Annotated[Path, typer.Argument(help="Where you work, such as `work`.")]) -> None:
    """Copy the lessons into a folder. What you have worked on stays as it is; a newer version comes beside it."""
    from coursekit.lessons.copy import copy_lessons

    done = copy_lessons(folder)
    print(f"{folder}: {len(done.new)} new, {len(done.kept)} already there and left alone.")
    for path in done.replaced:
        print(f"{path}: the newer version; you had not changed the old one.")
    for path in done.beside:
        print(f"{path}: the newer version, beside yours.")


@lessons_app.command("run")
def lessons_run(
    version: Annotated[str, typer.Argument(help="`solutions`, strictly, or `course`, as an intern finds it.")],
    out: Annotated[Path, typer.Option(help="Folder for the executed notebooks.")] = Path("runs/lessons"),
    lesson: Annotated[int | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Execute the lessons in order and keep them with their outputs."""
    from coursekit.lessons.run import run_lessons

    if version not in ("solutions", "course"):
        raise SettingError(f"lessons run {version}: `solutions` or `course` is expected.")
    table = Table("lesson", "cells", "seconds", "slowest cell", "state", title=f"{version}, executed")
    executed = []
    for one in run_lessons(version, out, lesson):  # type: ignore[arg-type]
        executed.append(one)
        table.add_row(one.name, str(one.cells), f"{one.seconds:.0f}", f"{one.slowest:.0f}", one.problem or "ok")
    Console().print(table)
    print(f"{sum(one.seconds for one in executed) / 60:.1f} minutes. To look at: {out}")
    raise typer.Exit(1 if any(one.problem for one in executed) else 0)


@lessons_app.command("status")
def lessons_status(
    folder: Annotated[Path | None, typer.Argument(help="Where your notebooks are: by default here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What is yours so far, and what is left."""
    import os
    from dataclasses import asdict

    if folder is not None:
        if not folder.is_dir():
            raise SettingError(f"{folder}: no such folder. Name the one your notebooks are in.")
        os.environ["COURSEKIT_WORKBOOK"] = str(folder / "my_detector")
    from coursekit.lessons.judge import SIGNS
    from coursekit.lessons.status import status

    lessons = status()
    if as_json:
        print(json.dumps([asdict(one) for one in lessons]))
        return
    table = Table("lesson", "exercises", "minutes", "of exercises left", "hints")
    for one in lessons:
        states = "  ".join(f"{SIGNS[state]}\u00a0{name}" for name, state in one.states.items())
        hints = f"{one.hints}{f', seen: {one.seen}' if one.seen else ''}"
        table.add_row(f"{one.number:02} {one.title}", states, str(one.minutes), str(one.left), hints)
    Console().print(table)
    print("✓ correct   ◐ borrowed   ✗ not yet   ○ not started")


@data_app.command("list")
def data_list() -> None:
    """The recipes that come with the course, and which of them are built on this machine."""
    from coursekit.data.recipe import find_recipe, names
    from coursekit.data.subset import estimate, subset_folder

    table = Table("name", "images", "classes", "long side", "download", "state")
    for name in names():
        recipe = find_recipe(name)
        counts = " + ".join(f"{count:,}" if count else f"all {split}" for split, count in recipe.images.items())
        side = f"{recipe.long_side} px" if recipe.long_side else "as it is"
        drawn = recipe.source == "scenes"
        size = "none, drawn here" if drawn else f"about {_megabytes(estimate(recipe)['download_bytes'])}"
        state = "drawn at first use" if drawn else ("built" if subset_folder(recipe).exists() else "not built")
        table.add_row(name, counts, str(len(recipe.classes) or 80), "320 px" if drawn else side, size, state)
    Console().print(table)


@data_app.command("build")
def data_build(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a file that ends in .toml.")],
    annotations: Annotated[
        str | None, typer.Option(help="File, folder or URL; {split} becomes val2017; .zip is COCO's.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Base in front of val2017/FILE; default: each record's address.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Downloads at a time.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much it is.")] = False,
) -> None:
    """Download the photographs of a recipe, resized. Stopped at any moment, the same command goes on."""
    from coursekit.data.recipe import find_recipe
    from coursekit.data.subset import COCO_ANNOTATIONS, build_subset, estimate

    chosen = find_recipe(recipe)
    if chosen.source == "scenes":
        from coursekit.data.render import build_scenes

        print(f"{recipe} is drawn, not downloaded: {'nothing to fetch' if dry_run else build_scenes(chosen)}")
        return
    amount = estimate(chosen)
    sizes = f"about {_megabytes(amount['download_bytes'])} to fetch, {_megabytes(amount['disk_bytes'])} on disk"
    print(f"{recipe}: {amount['files']:,} images, {sizes}, and the annotations.")
    if dry_run:
        return
    folder, manifest = build_subset(chosen, annotations=annotations or COCO_ANNOTATIONS, images=images, jobs=jobs)
    for one in manifest.missing:
        print(f"missing: {one.file}: {one.reason}", file=sys.stderr)
    print(f"{folder}: {len(manifest.files):,} images, {len(manifest.missing)} missing.")
    if manifest.missing:
        print("It is consistent without them; the same command tries them again.")


@data_app.command("info")
def data_info(
    data: Annotated[str, typer.Argument(help="A recipe's name, or a folder laid out as COCO is.")],
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("data-info.png"),
) -> None:
    """Classes, sizes, boxes an image: as a table, and as a picture."""
    from coursekit.data.dataset import find_folder
    from coursekit.data.info import summarize
    from coursekit.files import make_folder
    from coursekit.show.data_picture import data_picture
    from coursekit.show.pictures import save

    summaries = summarize(find_folder(data))
    for summary in summaries:
        print(f"{data}, {summary.split}: {summary.headline}")
        table = Table("class", "boxes", "images")
        for name, boxes, images in summary.classes:
            table.add_row(name, f"{boxes:,}", f"{images:,}")
        Console().print(table)
    make_folder(out.parent)
    save(data_picture(summaries), out)
    print(f"The same as a picture: {out}")


@data_app.command("verify")
def data_verify(data: Annotated[str, typer.Argument(help="A recipe's name, or a folder laid out as COCO is.")]) -> None:
    """Find every file that is damaged, missing, surplus or changed. Exit code 1 if there is one."""
    from coursekit.data.dataset import find_folder
    from coursekit.data.manifest import verify

    folder = find_folder(data)
    problems = verify(folder)
    for problem in problems:
        print(problem)
    print(f"{folder}: {len(problems)} problems." if problems else f"{folder}: all files are as they should be.")
    raise typer.Exit(1 if problems else 0)


def _megabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def print_classes(scores: "Scores", results: "list[Result]", dataset: "CocoDataset") -> None:
    """A row for each class."""
    from coursekit.evaluation.errors import best_thresholds

    thresholds = best_thresholds(results, dataset)
    table = Table("class", "boxes", "images", "AP", "AP50", "best threshold", "F1 there")
    for one in scores.per_class:
        best = thresholds.get(one.name)
        there = ["no truth", "no truth", "", ""] if best is None else [
            f"{one.AP:.3f}", f"{one.AP50:.3f}", f"{best.score:.2f}", f"{best.f1:.2f}"
        ]  # fmt: skip
        table.add_row(one.name, f"{one.boxes:,}", f"{one.images:,}", *there)
    Console().print(table)


def print_metrics(metrics: dict[str, float], title: str) -> None:
    """COCO's numbers as a table; the rest in a line under it."""
    table = Table(title=title)
    table.add_column("number")
    table.add_column("value", justify="right")
    table.add_column("meaning")
    for name, meaning in MEANINGS.items():
        table.add_row(name, "no truth" if metrics[name] == -1 else f"{metrics[name]:.3f}", meaning)
    Console().print(table)
    if "seconds" in metrics:
        print(f"{metrics['seconds']:.0f} s of training, {metrics['images_per_second']:.1f} images a second")
