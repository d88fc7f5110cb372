# make run · make test · make lab · make lessons · make solutions        (without make: the table in README.md)
PYTHON ?= python3
BIN := .venv/bin
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=120
# Threads that spin while they wait stall every other process on a small machine. Some microseconds of it are worth it:
# where they sleep at once, training takes 1.4 times as long.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 3000

.PHONY: run test test-long lab lessons solutions bench lint types unit notebooks clean

run: .venv/installed
	$(BIN)/coursekit demo

test: lint types unit notebooks

lab: .venv/installed
	$(BIN)/coursekit lessons copy work
	cd work && ../$(BIN)/jupyter lab

lessons: .venv/installed
	$(BIN)/coursekit lessons build

# What an instructor runs before class: all executed, a table, notebooks to show in runs/lessons.
solutions: .venv/installed
	$(BIN)/coursekit lessons run solutions

bench: .venv/installed
	$(BIN)/python benchmarks/bench_index.py
	$(BIN)/python benchmarks/bench_loader.py
	$(BIN)/python benchmarks/bench_builder.py
	$(BIN)/python benchmarks/bench_detector.py
	$(BIN)/python benchmarks/bench_ladder.py
	$(BIN)/python benchmarks/bench_time_to_ap50.py
	$(BIN)/python benchmarks/bench_memory.py
	$(BIN)/python benchmarks/bench_evaluation.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/coursekit lessons build --check

types: .venv/installed
	$(BIN)/mypy

# Two at a time with a thread each: most of the time goes into starting processes, which no second thread helps.
unit: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not long and not notebook" tests

# The counts in full: two thousand mutated files, a hundred kills. Some minutes.
test-long: .venv/installed
	$(BIN)/pytest -m long tests

# One at a time and in order: solutions strictly, with one workbook; then the lessons as an intern finds them; then
# some on photographs, and in a browser.
notebooks: .venv/installed
	COURSEKIT_FAST=1 COURSEKIT_STRICT=1 $(BIN)/pytest $(NBVAL) solutions
	COURSEKIT_FAST=1 $(BIN)/pytest $(NBVAL) course
	$(BIN)/pytest -m "notebook and not long" tests

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[course,test]'
	touch $@

clean:
	rm -rf .venv
