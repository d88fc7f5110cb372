"""The command line, a file for each group of commands; `main.py` puts them together."""
