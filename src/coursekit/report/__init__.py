"""The experience report: one half is filled in from what happened, the other half is questions with room to answer."""

from coursekit.report.answers import Question, answer, default_questions, form, read_questions
from coursekit.report.project import Project, write_project
from coursekit.report.write import beginning, write_report

__all__ = [
    "Project",
    "Question",
    "answer",
    "beginning",
    "default_questions",
    "form",
    "read_questions",
    "write_project",
    "write_report",
]
