"""Checks: an answer is run in a process of its own, and its results are compared with the reference."""
