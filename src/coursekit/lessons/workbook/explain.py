"""`explain("nms")`: what a reader may paste into a chat with an AI assistant about an answer that fails."""

from coursekit.lessons.checking.verdict import Verdict, check, find
from coursekit.lessons.course import BADGE_MEANS, badge_of
from coursekit.lessons.workbook.workbook import Workbook


def explain(workbook: Workbook, name: str) -> str:
    """Return a text for a chat: the exercise's badge, the failing case, what was expected, and the reader's code.

    Raises:
        ConfigError: there is no such exercise.
    """
    exercise = find(name)
    code, verdict = workbook.code_of(name), check(workbook, exercise.name)
    badge = badge_of(name)
    parts = [f"Badge of this exercise: {badge}. {BADGE_MEANS[badge]}"]
    if code is None:
        return "\n\n".join([*parts, f"I'm about to write the function {name}, and have no code yet."])
    parts += [_what_fails(verdict), f"My code:\n\n```python\n{code.strip()}\n```"]
    return "\n\n".join(parts)


def _what_fails(verdict: Verdict) -> str:
    if verdict.problem is None:
        return f"My {verdict.exercise} passes its check."
    lines = [f"My {verdict.exercise} fails its check. {verdict.message}".rstrip(), f"Tried on: {verdict.problem.tried}"]
    lines.append(f"Got: {verdict.problem.got}")
    return "\n".join([*lines, f"Expected: {verdict.problem.expected}"] if verdict.problem.expected else lines)
