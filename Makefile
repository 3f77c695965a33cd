# Paperround's tasks. `make` alone lists them. Each one makes the virtual environment it needs first.
#
# PYTHON  the interpreter that makes .venv (3.11 or newer)
# PIP_…   pip's own variables work as ever, for a mirror or a proxy

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
RUN_READY := .venv/.run-ready
DEV_READY := .venv/.dev-ready

# What the caller types reaches a command as a variable of the environment, word for word: never as text of make or of the shell.
override ME := $(value ME)
override ONLY := $(value ONLY)
override KILLS := $(value KILLS)
override SUBSCRIBERS := $(value SUBSCRIBERS)
override SAMPLE := $(value SAMPLE)
override MINUTES := $(value MINUTES)
export ME ONLY KILLS SUBSCRIBERS SAMPLE MINUTES

.PHONY: help setup demo test check bench bench-million kill-test kill-test-many chromium

help: ## list the targets
	@echo "Paperround: every subscriber's own paper, delivered on schedule."
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

setup: $(DEV_READY) ## make the virtual environment, for running and for development

demo: $(RUN_READY) ## turn the bundled sample into personal mails, pages and feeds under out/; ME="your own words" adds you
	@if [ -n "$${ME:-}" ]; then exec $(BIN)/paperround demo --out out --me "$$ME"; else exec $(BIN)/paperround demo --out out; fi

test: $(DEV_READY) chromium ## run every test, with real parts
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -n $(WORKERS) --dist loadfile

check: $(DEV_READY) ## format, lint, types, architecture and lengths; fast and without network
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest tests/test_architecture.py

bench: $(DEV_READY) ## run the benchmarks, or ONLY=those,that begin so; merges into out/bench.json
	@if compgen -G 'tests/benchmarks/bench_*.py' >/dev/null && grep -lq smtp-sink tests/benchmarks/bench_*.py; then $(MAKE) smtp-sink; fi
	@$(BIN)/python tests/benchmarks/run.py --only "$${ONLY:-}"

kill-test: $(DEV_READY) ## kill delivery at random moments, KILLS=50 times, and count what was lost or came twice
	@$(BIN)/python tests/benchmarks/kill_test.py --kills "$${KILLS:-50}"

kill-test-many: $(DEV_READY) ## the same over PostgreSQL: two deliver workers, one compose worker and the database killed KILLS=30 times
	@$(BIN)/python tests/benchmarks/kill_test_many.py --kills "$${KILLS:-30}"

bench-million: $(DEV_READY) smtp-sink ## one day for SUBSCRIBERS=1000000 on PostgreSQL, SAMPLE=100000 mails sent; stops after MINUTES=120, and goes on when run again
	@OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_million.py

# Two steps, so that the first `make demo` waits for nothing that only developers need. torch comes first and alone: constraints.txt
# pins one version of it, which machines may hold as a CPU-only file; a range that another package asks for would take the newest
# build instead, with gigabytes of CUDA libraries.
$(RUN_READY): pyproject.toml constraints.txt
	@echo "Setting up .venv: downloads about 390 MB once (torch and the embedding model are most of it) and takes 1.9 GB on disk." >&2
	@echo "Where pip's index has no CPU build of torch it brings CUDA too, about 3 GB more: name a CPU index in PIP_EXTRA_INDEX_URL to avoid that." >&2
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Paperround needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(DEV_READY): $(RUN_READY)
	@echo "Adding the tools for development to .venv: about 110 MB more to download." >&2
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,postgres]'
	@touch $@

# Found on the path, else installed by apt (root on Debian), else by Playwright; where nothing works one line says how to get it.
chromium: $(DEV_READY)
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium by apt for the browser tests: about 100 MB." >&2; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0; \
	else \
	  echo "Installing Chromium by Playwright for the browser tests: about 170 MB." >&2; \
	  timeout 600 $(BIN)/playwright install chromium && exit 0; \
	fi; \
	echo "No Chromium: the browser tests will be skipped. Install one that is called chromium on the path, or run $(BIN)/playwright install chromium" >&2

.PHONY: smtp-sink
smtp-sink:
	@PATH="$$PATH:/usr/sbin"; command -v smtp-sink >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing postfix by apt for its smtp-sink: about 2 MB; it is left unconfigured." >&2; \
	  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postfix >/dev/null && exit 0; \
	fi; \
	echo "No smtp-sink: benchmarks that need it are left out. It comes with the package postfix." >&2
