"""`coursekit evaluate`, `compare` and `report`: how good is a run?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from coursekit.commands.named import HELP, workbook_for
from coursekit.commands.sources import Images, TrainJson, ValJson, ValShare, with_options
from coursekit.commands.tables import print_classes, print_metrics
from coursekit.core.errors import plain


def evaluate(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or a results file in COCO's format (.json).")
    ],
    data: Annotated[
        str | None,
        typer.Option(help="A recipe such as `mini`, a folder with images and annotations, or an annotation file."),
    ] = None,
    split: Annotated[str, typer.Option(help="`val`, or `train` to see how well it fits the training images.")] = "val",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="Add AP, boxes and best threshold by class.")] = False,
    gallery: Annotated[Path | None, typer.Option(help="Folder for pictures of the errors.")] = None,
    detector: Annotated[Path | None, typer.Option(help=HELP)] = None,
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Score a trained detector, or a results file, with COCO's numbers, and name likely causes of a low score."""
    from coursekit.evaluation import evaluate as evaluate_results
    from coursekit.evaluation.diagnose import diagnose
    from coursekit.lessons.workbook.own_parts import results_of_run
    from coursekit.runs.write_pictures import draw_gallery

    data = with_options(data, train_json, val_json, images, val_share)
    workbook = workbook_for(source, [detector] if detector else [])
    results, dataset = results_of_run(source, data, split, workbook)
    scores = evaluate_results(results, dataset)
    if gallery:
        draw_gallery(gallery, results, dataset, scores)
    findings = diagnose(results, dataset)
    if as_json:
        causes = [{"cause": each.cause, "evidence": each.evidence, "cure": each.cure} for each in findings]
        print(json.dumps(scores.metrics | {"per_class": scores.as_json()["per_class"], "findings": causes}))
        return
    print_metrics(scores.metrics, f"{source} on {data}, {split}")
    if per_class:
        print_classes(scores, results, dataset)
    for finding in findings:
        print(plain(str(finding)))
    if gallery:
        print(f"Pictures of the errors: {gallery}")


def compare(
    run_a: Annotated[Path, typer.Argument(help="A run's folder, or a results file.")],
    run_b: Annotated[Path, typer.Argument(help="Another one.")],
    data: Annotated[str | None, typer.Option(help="The data on which both are scored.")] = None,
    split: Annotated[str, typer.Option(help="`val` or `train`.")] = "val",
    draws: Annotated[int, typer.Option(help="Number of bootstrap samples of the images.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 0,
    detector: Annotated[
        list[Path] | None, typer.Option(help=f"{HELP} Can be repeated, if the runs have different ones.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Compare two runs: is B better than A? Prints the difference in AP, its interval over images, and a verdict."""
    from dataclasses import asdict

    from coursekit.evaluation.compare import compare as compare_results
    from coursekit.lessons.workbook.own_parts import results_of_run

    data = with_options(data, train_json, val_json, images, val_share)
    workbooks = [workbook_for(run, detector or []) for run in (run_a, run_b)]  # both before code of either runs
    (first, dataset), (second, _) = (
        results_of_run(run, data, split, workbook) for run, workbook in zip((run_a, run_b), workbooks, strict=True)
    )
    comparison = compare_results(first, second, dataset, draws=draws, seed=seed)
    print(json.dumps(asdict(comparison) | {"verdict": comparison.verdict}) if as_json else comparison)


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the report. Default: RUN/report.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The data to score the run on. Default: what it was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="`val` or `train`.")] = "val",
    detector: Annotated[
        Path | None,
        typer.Option(
            "--detector",
            "--workbook",
            help=f"{HELP} Your progress and journal come from there, by default from the one in this folder.",
        ),
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Markdown file with your own questions: `## Title`, then the question below it.")
    ] = None,
) -> None:
    """Write the experience report of a run, as Markdown and as a single HTML file. Your earlier answers are kept."""
    from coursekit.core.files import check_inside
    from coursekit.lessons.workbook.workbook import workbook_here, workbook_of_environment
    from coursekit.report import read_questions, write_report

    named = workbook_for(run, [detector] if detector else []) or workbook_of_environment()
    mine = named or workbook_here()
    mine.in_trial = named is None  # then its progress is read, and no answer is checked
    out = out or check_inside(run / "report", run)
    page = write_report(mine, run, out, read_questions(questions), data=data, split=split)
    print(f"{page} is a single file: open it in a browser. Answer in {page.with_name('report.md')}, or in lesson 10.")
