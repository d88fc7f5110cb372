"""Drawn scenes: the sets `mini` and `damaged`, which need no network."""
