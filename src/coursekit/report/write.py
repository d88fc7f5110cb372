"""`coursekit report`: report.md, its pictures, and report.html."""

from pathlib import Path
from typing import Any

from coursekit.core.files import check_inside, make_folder, remove_partial_files, write_text
from coursekit.core.lock import alone_in
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.report.answers import Question, as_markdown, take_in, without_comments
from coursekit.report.facts import Facts, gather
from coursekit.report.html import page
from coursekit.report.pictures import pictures
from coursekit.report.sections import sections
from coursekit.show import save

TITLE = "My detector: an experience report"


def write_report(
    workbook: Workbook,
    run: Path,
    out: Path,
    questions: list[Question],
    *,
    data: str | None = None,
    split: str = "val",
) -> Path:
    """Write the report of a run. Answers given before are kept.

    Args:
        workbook: tells how far the course is done, and its parts run if the run was trained with them; the answers are
            stored beside it.
        run: folder of a run that has ended.
        out: gets report.md, report.html, pictures/ and the detections.
        questions: what to ask at the end.
        data, split: what to score the run on; by default what it was trained on, `val`.

    Returns:
        The path of report.html.

    Raises:
        DataError: the run, the data, or the file of answers is damaged.
        ConfigError: `out` can't be written, or the workbook is not the one that the run was trained with.
    """
    with alone_in(out, "report"):
        remove_partial_files(make_folder(check_inside(out / "pictures", out)))
        facts = gather(workbook, run, data, split, out)
        text = _markdown(workbook, facts, questions, out)
        write_text(out / "report.md", text)
        write_text(out / "report.html", page(TITLE, without_comments(text), out))
    return out / "report.html"


def beginning(page: Path) -> Any:
    """Return the first sections of a report, up to the training, for a notebook to show.

    Args:
        page: what `write_report` returned.
    """
    from IPython.display import Markdown

    text = page.with_name("report.md").read_text(encoding="utf-8")
    print(f"open in a browser: {page.as_posix()}")
    return Markdown(text[text.index("## In short") : text.index("## Training")].replace("## ", "#### "))


def _markdown(workbook: Workbook, facts: Facts, questions: list[Question], out: Path) -> str:
    alts = {}
    for name, fig, alt in pictures(facts):
        save(fig, out / "pictures" / f"{name}.png")
        alts[name] = alt
    answers = take_in(workbook, out / "report.md", questions)
    asked = [as_markdown(question, answers[question.title]) for question in questions]
    parts = [f"# {TITLE}", *sections(facts, alts), "## Looking back", *asked]
    return "\n\n".join(parts) + "\n"
