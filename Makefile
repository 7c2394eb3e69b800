# setup demo test fuzz faults lint package bench rehearse-lease gpu-check: each does the set-up it needs by itself.
# An outsider's PyPI serves torch as the CUDA build on Linux; to have another, put it into .venv first
# (python3 -m venv .venv && .venv/bin/pip install ...): a torch that is already there is kept.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
STAMP := $(VENV)/.set-up
FUZZ := .venv-fuzz
FUZZ_STAMP := $(FUZZ)/.set-up
RIVALS := .venv-rivals
RIVALS_STAMP := $(RIVALS)/.set-up
ARGS ?=

.DEFAULT_GOAL := setup
.PHONY: setup demo test fuzz faults lint package bench rehearse-lease gpu-check

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -c 'import torch' 2>/dev/null || $(VENV)/bin/pip install '$(TORCH)'
	$(VENV)/bin/pip install --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(VENV)/bin/latentedge demo $(ARGS)

# One process for each CPU, and each file in one of them: most tests wait for servers. pytest reads CI: where it is set,
# a failed comparison of two pictures prints a diff of all bytes, which takes hours. Every edge of a test has a thread for
# its codec: with a heap for each thread, as glibc has it, ten edges one after the other leave 0.4 GB more.
test: $(STAMP)
	CI= BUILD_NUMBER= MALLOC_ARENA_MAX=2 $(VENV)/bin/pytest --numprocesses auto --dist loadfile $(ARGS)

# What `make test` draws a hundred times a test, here 20,000 times; then a million hostile latents, then cases made from
# the OpenAPI documents of both ports, for half an hour each: ARGS="--seconds 60" for less.
fuzz: $(STAMP) $(FUZZ_STAMP)
	CI= BUILD_NUMBER= $(VENV)/bin/pytest --hypothesis-profile=long --timeout=3600 tests/fuzz tests/service/test_linear_parsers.py
	$(VENV)/bin/python -m tests.fuzz.over_latents
	$(VENV)/bin/python -m tests.fuzz.over_openapi $(FUZZ)/bin/schemathesis $(ARGS)

# Real edges are broken under clients that recognise every picture, in six minutes; exit code 1 if a goal is missed.
# ARGS="--only store-stopped crowd" for some, ARGS="--only soak" for the quarter of an hour that measures memory.
faults: $(STAMP)
	$(VENV)/bin/python -m tests.faults $(ARGS)

$(FUZZ_STAMP):
	test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip install --quiet 'schemathesis>=4.32,<5'
	touch $@

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The wheel and the source archive are built and checked. ARGS=--serve installs the wheel into a bare environment too, and
# serves a picture from it.
package: $(STAMP)
	$(VENV)/bin/python -m tests.install --torch '$(TORCH)' $(ARGS)

# All benchmarks in ten minutes, one table, plots in out/bench. ARGS=--write-docs puts the figures into
# docs/operations.md, ARGS="--again rivals" measures only that.
bench: $(STAMP) $(RIVALS_STAMP)
	$(VENV)/bin/python -m tests.bench $(ARGS)

# Two trainings of two minutes each on a processor, as on a GPU that is lent for minutes: killed, resumed, released.
rehearse-lease: $(STAMP)
	$(VENV)/bin/python -m tests.rehearse_lease $(ARGS)

# Everything that has to be run on a GPU, in three minutes; figures and a plot in out/gpu_check.
# Without a GPU: make gpu-check ARGS="--device cpu --quick"
gpu-check: $(STAMP)
	$(VENV)/bin/python -m tests.gpu_check $(ARGS)

# What the edge is compared with, in an environment of its own; what cannot be had is reported as missing.
$(RIVALS_STAMP):
	test -x $(RIVALS)/bin/python || $(PYTHON) -m venv $(RIVALS)
	for one in 'uvicorn uvloop httptools' thumbor 'pyvips[binary]'; do \
		$(RIVALS)/bin/pip install --quiet $$one || echo "not installed: $$one"; done
	command -v nginx >/dev/null || test -x /usr/sbin/nginx || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& { apt-get install -y -qq --no-install-recommends nginx-light \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light; }; }; } \
		|| echo "not installed: nginx"
	touch $@
