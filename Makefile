# make demo | test | test-all | check | format
# PYTHON=python3.12 picks the interpreter of a new .venv.
# TORCH_INDEX=URL takes torch from another package index, e.g. one that serves CPU-only wheels
# (on Linux the default index may serve a build with several GB of GPU libraries).
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/cpu.txt
RESULTS ?= results
JOBS ?= 2

.PHONY: demo test test-all check format install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

demo: install
	$(BIN)/husai run quickstart --results $(RESULTS)

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow" tests

test-all: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --timeout 3600 tests

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/basedpyright --level error

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache
