"""The notebooks: built from one source, copied, executed, and what a cell can call."""
