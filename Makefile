# `make demo` and `make test` set everything up themselves: Python >= 3.11 and make are all they need.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# The CSV file of the Beijing PM2.5 data; examples/time_series.py says where it is to be had.
CSV    ?= $(BEIJING_PM25_CSV)

export TF_CPP_MIN_LOG_LEVEL ?= 3

# Which tables `make bench` prints, as in `make bench TABLES=--fit`; all by default.
TABLES ?=

.PHONY: help demo tensorboard test test-pure test-backends lint types unit test-long test-sweep fuzz coverage beijing bench \
        bench-backends bench-clicks bench-correlated bench-drift bench-growth bench-intervals bench-lofo \
        bench-lofo-backends bench-memory bench-scale bench-statistics bench-tab bench-verdicts cases house-table loss-table notebook pictures screenshots support-table clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## train on real data, print the table of features, say where the logs lie
	$(BIN)/python examples/quickstart.py

tensorboard: $(READY)  ## open the demo's logs
	$(BIN)/tensorboard --logdir logs

test: lint types test-pure unit  ## lint, types and all fast tests, the quickest first

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# What is NumPy alone: statistics, results, what is drawn and written, the bounds of verdicts.
PURE_TESTS := $(addprefix tests/,callback/test_budget.py reporting/test_lettering.py \
	reporting/test_console.py reporting/test_plots.py results retraining/test_folds.py retraining/test_trials.py statistics \
	test_house.py verdicts/test_useless_features.py)

test-pure: $(READY)  ## the tests of what needs no Keras: seconds, and importing Keras or a backend is an error
	$(BIN)/pytest -n 2 -rs --without-keras $(PURE_TESTS)

unit: $(READY)
	$(BIN)/pytest -n 2 -rs $(addprefix --ignore=,$(PURE_TESTS))

test-long: $(READY)  ## the tests that take minutes: make test-long CSV=path/to/file.csv
	BEIJING_PM25_CSV='$(CSV)' $(BIN)/pytest -n 2 -m long

# As in `make test-backends BACKENDS=torch`.
BACKENDS ?= jax torch

# What computes, or runs a model; the rest is the same on every backend.
BACKEND_TESTS := $(addprefix tests/,callback/test_budget_in_fit.py callback/test_caveats.py \
	callback/test_feature_importance.py data/test_correlated_features.py data/test_hidden_columns.py \
	data/test_validation_data.py engine laws/test_backends.py laws/test_closed_forms.py laws/test_faults.py \
	laws/test_footprint.py laws/test_methods_contract.py methods retraining/test_lofo_importance.py \
	system/test_loaders.py test_progress.py verdicts/test_in_trainings.py verdicts/test_unused_signal.py)

$(VENV)/.backends-ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,backends]'
	touch $@

# JAX compiles for most of its tests' time, and many compile the same.
test-backends: export JAX_COMPILATION_CACHE_DIR ?= $(abspath $(VENV))/.jax-cache
test-backends: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
test-backends: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1
test-backends: $(VENV)/.backends-ready  ## the tests of what computes, on JAX and on torch
	for backend in $(BACKENDS); do \
		KERAS_BACKEND=$$backend $(BIN)/pytest -n 2 $(BACKEND_TESTS) || exit 1; \
	done

test-sweep: $(READY)  ## every cell of the tables of losses, metrics, forms of data and verdicts (half an hour)
	$(BIN)/pytest -n 2 -m sweep

FUZZ_EXAMPLES ?= 1000

fuzz: $(READY)  ## thousands of generated models and arguments, and fewer trainings (FUZZ_EXAMPLES=1000, KERAS_BACKEND=torch is faster)
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest -q -s tests/laws/test_fuzz.py

coverage: $(READY)  ## which lines the fast tests reach
	$(BIN)/pytest --cov --cov-report=term

beijing: $(READY)  ## the published Beijing PM2.5 experiment: make beijing CSV=path/to/file.csv
	$(BIN)/python examples/time_series.py $(if $(CSV),--csv '$(CSV)')

$(VENV)/.bench-ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	touch $@

bench: $(VENV)/.bench-ready  ## how long importance takes, beside other packages (half an hour; TABLES=--fit for one table)
	$(BIN)/python tests/benchmarks/speed.py $(TABLES) 2>/dev/null

bench-backends: $(VENV)/.bench-ready  ## the same on JAX and on torch
	for backend in jax torch; do \
		KERAS_BACKEND=$$backend $(BIN)/python tests/benchmarks/speed.py --permutation --gradient 2>/dev/null; \
	done

support-table: $(VENV)/.bench-ready  ## which models and data each method takes on each backend, beside peers (half an hour)
	$(BIN)/python tests/benchmarks/support.py 2>/dev/null

loss-table: $(READY)  ## every loss, metric and form of targets, weights and masks, beside loops round evaluate (ten minutes)
	$(BIN)/python tests/benchmarks/losses.py 2>/dev/null

cases: $(READY)  ## run every numbered program of a directory, and tell which fail: make cases CASES=path/to/directory
	$(BIN)/python tests/benchmarks/cases.py $(CASES)

bench-intervals: $(READY)  ## how often the 95% intervals cover, beside the usual error bars
	$(BIN)/python tests/benchmarks/intervals.py

bench-drift: $(READY)  ## how often noise passes for drift, and how soon a change is named (a minute)
	$(BIN)/python tests/benchmarks/drift.py

bench-correlated: $(READY)  ## how often null features that are correlated with useful ones are found
	$(BIN)/python tests/benchmarks/correlated.py 2>/dev/null

bench-lofo: $(VENV)/.bench-ready  ## how fast leaving features out is, and how near to the truth it comes (a quarter of an hour)
	$(BIN)/python tests/benchmarks/leave_one_out.py 2>/dev/null

bench-lofo-backends: $(VENV)/.bench-ready  ## how fast it is on JAX and on torch
	for backend in jax torch; do \
		KERAS_BACKEND=$$backend $(BIN)/python tests/benchmarks/leave_one_out.py --only speed 2>/dev/null; \
	done

bench-growth: $(READY)  ## what one more evaluation costs after 100, 1,000 and 3,000 others (some minutes)
	$(BIN)/python tests/benchmarks/growth.py 2>/dev/null

bench-memory: $(READY)  ## what many trainings and calls leave in memory, and how often they compile (ten minutes; N=200)
	$(BIN)/python tests/benchmarks/memory.py --n $(or $(N),100) 2>/dev/null

bench-scale: $(READY)  ## what importance costs as rows, features and replicas grow (ten minutes)
	$(BIN)/python tests/benchmarks/scale.py 2>/dev/null

bench-statistics: bench-intervals bench-verdicts bench-correlated bench-drift  ## all tables about statistics (three quarters of an hour)

bench-verdicts: $(READY)  ## how often verdicts are wrong, and how early they are right (half an hour)
	$(BIN)/python tests/benchmarks/verdicts.py 2>/dev/null

screenshots: $(READY)  ## take the pictures of the tab in TensorBoard (needs chromium and chromium-driver)
	$(BIN)/python tests/browser/screenshots.py

bench-clicks: $(READY)  ## how many clicks a question takes in the tab, and in the stock dashboards (needs chromium and chromium-driver)
	$(BIN)/python tests/benchmarks/clicks.py

bench-tab: $(READY)  ## how fast the tab in TensorBoard paints and answers (needs chromium and chromium-driver)
	$(BIN)/python tests/benchmarks/tab.py

pictures: $(READY)  ## draw the pictures of the README: make pictures CSV=path/to/file.csv
	$(BIN)/python examples/quickstart.py --pictures docs/quickstart
	$(BIN)/python examples/lofo.py --picture docs/lofo.png
	$(BIN)/python examples/time_series.py $(if $(CSV),--csv '$(CSV)') --pictures docs/beijing

house-table: $(READY)  ## the plan of the package in figures: rooms, floors, arrows, circles, sizes
	$(BIN)/python tests/benchmarks/house.py 2>/dev/null

notebook: $(READY)  ## run examples/notebook.ipynb and store it with its outputs
	$(BIN)/python tests/system/run_notebook.py

clean:  ## remove the environment and everything made
	rm -rf $(VENV) logs .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist
