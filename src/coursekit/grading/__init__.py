"""Grading a class of submissions, in a sandbox."""
