# Two commands: `make try` sets everything up and completes and repairs a real file, `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

.PHONY: try setup test test-slow check format clean

try: setup
	$(BIN)/remask doctor
	$(BIN)/remask complete examples/cart.py --line 15 --column 21
	$(BIN)/remask repair examples/broken_cart.py || true
	@echo "Try it on a file of yours: $(BIN)/remask demo FILE --line L --column C"

setup: $(STAMPS)/runtime

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Remask needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/runtime: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/runtime
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

# What a change must pass: lint, format, types, tests. Minutes on two cores.
test: check
	$(BIN)/python -m pytest -m "not slow and not train"

# What CI runs on top: long tests, and those that need torch (.[train]).
test-slow: $(STAMPS)/dev
	$(BIN)/python -m pytest -m "slow or train"

check: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
