"""`coursekit evaluate`, `compare` and `report`: how good is a run?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from coursekit.commands.tables import print_classes, print_metrics


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
    from coursekit.lessons.workbook.own_parts import results_of_run
    from coursekit.runs.pictures import draw_gallery

    results, dataset = results_of_run(found, data, split)
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
    from coursekit.lessons.workbook.own_parts import results_of_run

    (first, dataset), (second, _) = results_of_run(run_a, data, split), results_of_run(run_b, data, split)
    comparison = compare_results(first, second, dataset, draws=draws, seed=seed)
    print(json.dumps(asdict(comparison) | {"verdict": comparison.verdict}) if as_json else comparison)


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
    from coursekit.runs.config import load_config

    chosen = workbook or load_config(run).workbook
    if chosen:
        os.environ["COURSEKIT_WORKBOOK"] = str(chosen)
    page = write_report(run, out or run / "report", read_questions(questions), data=data, split=split)
    print(f"{page} stands alone: open it in a browser. Answer in {page.with_name('report.md')}, or in lesson 10.")
