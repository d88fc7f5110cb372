"""Experiments of the lessons that take more code than a reader should have to read."""
