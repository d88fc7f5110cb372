"""A class of submissions: read without running anything, tried in a sandbox, compared outside of it, told in pages."""
