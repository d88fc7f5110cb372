"""Checking an answer: try it in another process, compare its results, name the mistake."""
