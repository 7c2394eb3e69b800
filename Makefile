# setup demo test lint bench: each does the set-up it needs by itself.
# An outsider's PyPI serves torch as the CUDA build on Linux; to have another, put it into .venv first
# (python3 -m venv .venv && .venv/bin/pip install ...): a torch that is already there is kept.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
STAMP := $(VENV)/.set-up
ARGS ?=

.DEFAULT_GOAL := setup
.PHONY: setup demo test lint bench

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -c 'import torch' 2>/dev/null || $(VENV)/bin/pip install '$(TORCH)'
	$(VENV)/bin/pip install --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(VENV)/bin/latentedge demo $(ARGS)

test: $(STAMP)
	$(VENV)/bin/pytest $(ARGS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Each file of tests/bench is a script whose last line of output is JSON.
bench: $(STAMP)
	@set -e; found=; for script in tests/bench/*.py; do \
		test -e "$$script" || continue; found=1; \
		echo "== $$script"; $(VENV)/bin/python "$$script" $(ARGS); \
	done; test -n "$$found" || echo "make bench: no benchmark in tests/bench yet"
