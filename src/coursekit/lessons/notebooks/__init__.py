"""The notebooks: built from one source, copied, executed, and what their cells can call."""
