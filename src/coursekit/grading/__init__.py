"""A class of submissions, graded in a sandbox."""
