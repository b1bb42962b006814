# Two commands do everything on a fresh machine with Python 3.11+, git and make:
#   make demo   sets up and checks this very repository
#   make test   sets up and runs every check and test
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BOOTSTRAP := .bootstrap
UV := $(shell command -v uv 2>/dev/null || echo $(BOOTSTRAP)/bin/uv)
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := src tests benchmarks scripts
export UV_PYTHON_DOWNLOADS := never
# Hundreds of processes are started, which are not to compile the same modules each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo dev test postgres check fmt types docs bench chaos lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | \
	  awk -F ':.*## ' '{printf "  \033[36mmake %-8s\033[0m %s\n", $$1, $$2}'

$(BOOTSTRAP)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Podium needs Python 3.11 or later; set PYTHON=... to one."; exit 1; }
	$(PYTHON) -m venv $(BOOTSTRAP) && $(BOOTSTRAP)/bin/pip install --quiet uv

$(STAMP): requirements.lock pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

setup: $(STAMP) ## Install Podium and its tools into .venv

demo: $(STAMP) ## Run the repository checkup on this repository
	$(BIN)/podium run checkup --repo .

dev: $(STAMP) ## Run Podium in the foreground with its data in .podium
	PODIUM_HOME=$${PODIUM_HOME:-.podium} $(BIN)/podium up

check: $(STAMP) ## Format, lint, types, import contracts, docs and OpenAPI drift
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/lint-imports --no-logo 2>&1 | tail -n 25; exit $${PIPESTATUS[0]}
	$(BIN)/pyright --warnings
	$(BIN)/python -m podium.api.openapi --check
	$(BIN)/python -m podium.api.docs --check
	$(BIN)/python scripts/generate_client.py --check
	$(BIN)/python scripts/generate_cli_docs.py --check
	$(BIN)/python scripts/generate_apply_schema.py --check
	$(BIN)/python scripts/generate_figures.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir .venv/site

fmt: $(STAMP) ## Format the code and sort imports
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(STAMP) ## Write openapi.json and the generated pages, and build the site into site/
	$(BIN)/python -m podium.api.openapi
	$(BIN)/python -m podium.api.docs
	$(BIN)/python scripts/generate_client.py
	$(BIN)/python scripts/generate_cli_docs.py
	$(BIN)/python scripts/generate_apply_schema.py
	$(BIN)/python scripts/generate_figures.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Suites that start and kill whole installations against the clock run with little beside them.
WHOLE := tests/chaos tests/slices/server \
  $(addprefix tests/slices/cli/test_,doctor.py lifecycle.py settings.py)

# What says most about another PostgreSQL in little time, and all that depends on which it is.
SHORTLY := $(addprefix tests/slices/,scheduler/test_settle.py scheduler/test_leases.py \
  scheduler/test_keeper.py events storage/test_address.py storage/test_database.py limits queues) \
  tests/upgrade
ON_POSTGRES := $(addprefix tests/slices/,scheduler tasks storage schedules limits queues events \
  projects principals worker db sessions templates agents filters applied diagnosis) \
  tests/upgrade tests/flows

# Files go to whichever process is free, in the order that tests/conftest.py gives them.
TOGETHER := --dist loadfile --no-loadscope-reorder --numprocesses
MEASURED := MEASURE_PROCESSES=1 $(BIN)/python -m slipcover --json
# What the processes that tests start have run, see tests/measuring.
STARTED := .coverage.processes

test: check ## Run every check and test; 90 % of lines and 90 % of branches must run
	rm -rf $(STARTED) && mkdir $(STARTED)
	$(MEASURED) --out .coverage.whole -m pytest -m "not long" $(WHOLE) $(TOGETHER) 2
	$(MEASURED) --out .coverage.parts -m pytest -m "not long" $(addprefix --ignore=,$(WHOLE)) \
	  $(TOGETHER) 3
	for kind in 15 pooled; do \
	  PODIUM_TEST_POSTGRES=$$kind $(BIN)/pytest -m "not long" $(SHORTLY) \
	    $(TOGETHER) 3 || exit 1; \
	done
	$(BIN)/python scripts/check_coverage.py 90 .coverage.whole .coverage.parts $(STARTED)/*
	rm -rf $(STARTED)

postgres: $(STAMP) ## What needs a database, on PostgreSQL 15 and behind a pooler over TLS
	for kind in 15 pooled; do \
	  PODIUM_TEST_POSTGRES=$$kind $(BIN)/pytest -m "not long" $(ON_POSTGRES) \
	    $(TOGETHER) 3 || exit 1; \
	done

bench: $(STAMP) ## Measure against peers; NAME=throughput runs one
	$(BIN)/python -m benchmarks $(NAME)

chaos: $(STAMP) ## The long form of the fault suites
	$(BIN)/pytest -m long --timeout 3600

lock: | $(UV) ## Resolve the newest versions into requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --group dev --group bench \
	  --output-file requirements.lock pyproject.toml --upgrade

clean: ## Remove what was installed and generated
	rm -rf $(BOOTSTRAP) .venv .podium site podium-report htmlcov .coverage* .pytest_cache .ruff_cache
