# make demo | test | test-all | check | format | peers | peer-wheels
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

.PHONY: demo test test-all check format install clean peers peer-wheels

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

# The tools that husai is timed and compared with, in an environment of their own: see benchmarks/README.md.
PEERS := .venv-peers
PEER_CONSTRAINTS := constraints/peers.txt
PEER_PIP := $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -c $(PEER_CONSTRAINTS)

peers: $(PEERS)/installed

$(PEERS)/installed: pyproject.toml $(CONSTRAINTS) $(PEER_CONSTRAINTS)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEER_PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PEER_PIP) -e '.[dev,peers]'
	$(PEER_PIP) --no-deps dictionary-learning nnsight
	touch $@

# For a machine without network that already has Python 3.12, torch and transformers: wheels to carry there.
PEER_WHEELS := .peer-wheels
PLATFORMS := manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64 manylinux1_x86_64

peer-wheels:
	rm -rf $(PEER_WHEELS)
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
	  $(addprefix --platform ,$(PLATFORMS)) -d $(PEER_WHEELS) -r constraints/peer-wheels.txt
	du -sh $(PEER_WHEELS)

clean:
	rm -rf $(VENV) $(PEERS) $(PEER_WHEELS) .pytest_cache .hypothesis .ruff_cache
