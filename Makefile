# make run · make test · make lab · make lessons · make solutions        (without make: the commands in README.md)
PYTHON ?= python3
BIN := .venv/bin
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=120
# Threads that busy-wait slow down every other process on a small machine. A few microseconds of it pay off: if threads
# sleep at once, training takes 1.4 times as long.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 3000

.PHONY: run test test-long lab lessons solutions bench gpu lint types unit notebooks clean

run: .venv/installed
	$(BIN)/coursekit demo

test: lint types unit notebooks

lab: .venv/installed
	$(BIN)/coursekit lessons copy work
	cd work && ../$(BIN)/jupyter lab

lessons: .venv/installed
	$(BIN)/coursekit lessons build

# For instructors, before class: execute all solutions, print a table, and keep the notebooks in runs/lessons.
solutions: .venv/installed
	$(BIN)/coursekit lessons run solutions

bench: .venv/installed
	$(BIN)/python benchmarks/bench_index.py
	$(BIN)/python benchmarks/bench_loader.py
	$(BIN)/python benchmarks/bench_builder.py
	$(BIN)/python benchmarks/bench_detector.py
	$(BIN)/python benchmarks/bench_ladder.py
	$(BIN)/python benchmarks/bench_first_detector.py
	$(BIN)/python benchmarks/bench_time_to_ap50.py
	$(BIN)/python benchmarks/bench_memory.py
	$(BIN)/python benchmarks/bench_evaluation.py
	$(BIN)/python benchmarks/bench_start.py
	$(BIN)/python benchmarks/bench_grading.py
	$(BIN)/python benchmarks/bench_export.py

# On a machine with a GPU: its tests, and measurements beside torchvision's, which go to docs/gpu.md. Seven minutes.
gpu: .venv/installed
	$(BIN)/python benchmarks/bench_gpu.py --write

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/coursekit lessons build --check

types: .venv/installed
	$(BIN)/mypy

# Two workers with one thread each: most of the time goes into starting processes, which a second thread can't speed up.
# The first command draws the data sets that are missing, once, before both workers ask for them.
unit: .venv/installed
	$(BIN)/python -c 'from coursekit.data import load; load("mini", "val"), load("damaged", "val")'
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --durations=10 --durations-min=1 -m "not long and not notebook" tests

# The slow tests: two thousand mutated files, a hundred killed runs, the plan table of docs/training.md. Some minutes.
test-long: .venv/installed
	$(BIN)/pytest -m long tests

# In order, one at a time: the solutions, strictly and with one workbook; then the lessons as an intern gets them; then
# some lessons on photographs and in a browser.
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
