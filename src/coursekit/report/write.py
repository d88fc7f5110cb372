"""`coursekit report`: report.md, its pictures, and report.html."""

from pathlib import Path

from coursekit.core.files import make_folder, write_text
from coursekit.report.answers import Question, as_markdown, take_in, without_marks
from coursekit.report.facts import Facts, gather
from coursekit.report.html import page
from coursekit.report.pictures import pictures
from coursekit.report.text import sections
from coursekit.show import save

TITLE = "My detector: an experience report"


def write_report(
    run: Path, out: Path, questions: list[Question], *, data: str | None = None, split: str = "val"
) -> Path:
    """Write the report of a run, and keep the answers that were there.

    Args:
        run: folder of a run that has ended.
        out: gets report.md, report.html, pictures/ and the detections.
        questions: what is asked at the end.
        data, split: what to score the run on; by default what it was trained on, `val`.

    Returns:
        The path of report.html.

    Raises:
        DataError: the run, the data, or the file of answers is not sound.
        ConfigError: `out` can't be written, or parts that the run was trained with no longer pass.
    """
    make_folder(out / "pictures")
    facts = gather(run, data, split, out)
    text = _markdown(facts, questions, out)
    write_text(out / "report.md", text)
    write_text(out / "report.html", page(TITLE, without_marks(text), out))
    return out / "report.html"


def _markdown(facts: Facts, questions: list[Question], out: Path) -> str:
    alts = {}
    for name, fig, alt in pictures(facts):
        save(fig, out / "pictures" / f"{name}.png")
        alts[name] = alt
    answers = take_in(out / "report.md", questions)
    asked = [as_markdown(one, answers[one.title]) for one in questions]
    parts = [f"# {TITLE}", *sections(facts, alts), "## Looking back", *asked]
    return "\n\n".join(parts) + "\n"
