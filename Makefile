# Two commands for everybody: `make run` and `make test`. PYTHON is any Python 3.11 or later.
PYTHON ?= python3.11
ifeq (,$(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif
VENV := .venv/bin

.PHONY: run test check lint types bench soak clean

run: .venv/installed
	@$(VENV)/python -m bot

test: .venv/installed-dev
	$(VENV)/python -m pytest

check: lint types test

lint: .venv/installed-dev
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .

types: .venv/installed-dev
	$(VENV)/mypy

bench: .venv/installed-dev
	$(VENV)/python -m bench

soak: .venv/installed-dev
	$(VENV)/python -m bench.soak

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What pip says goes to standard error, so that what `make run` prints is the bot's alone.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; this is %s. Name another: make run PYTHON=..." % sys.version.split()[0])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml | .venv/bin/python
	@echo "Installing what the bot needs, once; this takes some minutes." 1>&2
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --editable . 1>&2
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 1>&2
	@touch .venv/installed $@
