# Two commands: `make try` sets everything up and completes and repairs a real file, `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
VSCODE := vscode-client

.PHONY: try setup test test-slow test-cluster test-gpu test-editors test-vscode vscode check format clean

try: setup
	$(BIN)/remask doctor
	$(BIN)/remask complete examples/cart.py --line 15 --column 21 --no-memory
	$(BIN)/remask repair examples/broken_cart.py
	@echo "Try it on a file of yours: $(BIN)/remask complete FILE --line L --column C, or $(BIN)/remask repair FILE"

setup: $(STAMPS)/runtime

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Remask needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/runtime: pyproject.toml $(VENV)/bin/python
	$(PIP) -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/runtime
	$(PIP) -e '.[dev]'
	@touch $@

# torch, unless there is one already: a version that the training code is tested with.
$(STAMPS)/train: $(STAMPS)/dev
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) 'torch==2.13.0'
	$(PIP) -e '.[train]'
	@touch $@

# What a change must pass: lint, format, types, tests. Minutes on two cores: one test in each at a time.
test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not train and not editor and not gpu and not cluster"

# Long tests, and those that need torch.
test-slow: $(STAMPS)/train
	$(BIN)/python -m pytest -m "(slow or train) and not editor and not gpu and not cluster"

# A team's engine on a real Ray cluster of two nodes. Linux; minutes.
$(STAMPS)/cluster: $(STAMPS)/dev
	$(PIP) -e '.[cluster,team]'
	@touch $@

test-cluster: $(STAMPS)/cluster
	$(BIN)/python -m pytest -m cluster

# Real Neovim with the real server and model.
test-editors: $(STAMPS)/dev
	$(BIN)/python -m pytest -m editor

# The CUDA path against the processor's. Needs an NVIDIA GPU; onnxruntime-gpu takes the place of onnxruntime, after
# all else: the two own the same files, and whatever depends on the one brings it back.
test-gpu: $(STAMPS)/dev
	$(BIN)/python -m pip uninstall -y onnxruntime onnxruntime-gpu
	$(PIP) 'onnxruntime-gpu[cuda,cudnn]>=1.22,<2'
	$(BIN)/python -m pytest -m gpu

# The extension: types, lint, unit tests, then a real VS Code. Needs Node.js and npm.
$(VSCODE)/node_modules: $(VSCODE)/package-lock.json
	npm ci --prefix $(VSCODE) --ignore-scripts --no-audit --no-fund
	@touch $@

vscode: setup $(VSCODE)/node_modules
	cd $(VSCODE) && PATH="$(abspath $(BIN)):$$PATH" npm run package

test-vscode: setup $(VSCODE)/node_modules
	cd $(VSCODE) && PATH="$(abspath $(BIN)):$$PATH" npm test

check: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
