"""Drawn data sets, `mini` and `damaged`, which need no network."""
