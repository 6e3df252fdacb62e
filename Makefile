# The project's tasks; `make` alone lists them. Everything runs in .venv, made from requirements.lock.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# The first of these that is there and new enough; set PYTHON=… for another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# What `make test` and `make bench` hand on: make test ARGS="-k resume -x".
ARGS ?=
# Test processes at once; a test file stays in one of them.
JOBS ?= 2
SOURCES := argus_grpc clients/argus_client clients/argus_dashboard examples tests tools
DUCKDB2 := build/duckdb2

.PHONY: help
help: ## List the tasks
	@awk 'BEGIN { FS = ":.*## " } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.project ## Make .venv: the locked packages, then this project, editable

$(VENV)/.locked: requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and none was found; set PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) has no venv module; on Debian, install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.project: $(VENV)/.locked pyproject.toml
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: setup ## Quick start: ingest a recording, export it to out/, show what came
	$(BIN)/python -m examples.quickstart

.PHONY: dashboard
dashboard: setup ## Open a recording in the dashboard: prints the address, and stays until Ctrl-C
	@$(BIN)/python -m examples.dashboard

.PHONY: test
test: setup ## Run the tests
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

.PHONY: test-duckdb2
test-duckdb2: setup $(DUCKDB2)/.installed ## Run the store and export tests on the newest DuckDB 2.x
	PYTHONPATH=$(DUCKDB2) $(BIN)/python -c 'import duckdb; assert duckdb.__version__.startswith("2."), duckdb.__version__; print("DuckDB", duckdb.__version__)'
	PYTHONPATH=$(DUCKDB2) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile -m duckdb $(ARGS)

# Laid over .venv, which keeps the locked version.
$(DUCKDB2)/.installed: $(VENV)/.locked
	rm -rf $(DUCKDB2)
	$(PIP_INSTALL) --no-deps --only-binary :all: --target $(DUCKDB2) 'duckdb>=2,<3'
	@touch $@

.PHONY: check
check: check-style check-types check-imports check-contract check-generated check-lock ## All that CI checks besides the tests

.PHONY: check-style
check-style: setup
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

.PHONY: check-types
check-types: setup
	$(BIN)/mypy

.PHONY: check-imports
check-imports: setup
	$(BIN)/lint-imports --no-logo

.PHONY: check-contract
check-contract: setup
	$(BIN)/buf lint protos
	$(BIN)/buf format protos --diff --exit-code
	$(BIN)/python -m tools.check_breaking

.PHONY: check-generated
check-generated: setup
	$(BIN)/python -m tools.generate_code --check
	$(BIN)/python -m tools.generate_schema_doc --check

.PHONY: check-lock
check-lock: setup
	$(BIN)/python -m tools.check_lock

.PHONY: fix
fix: setup ## Format the code and the contract, and fix what ruff can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/buf format protos --write

.PHONY: generate
generate: setup ## Regenerate argus_grpc/v1 and docs/schema.md from protos/
	$(BIN)/python -m tools.generate_code
	$(BIN)/python -m tools.generate_schema_doc

.PHONY: stubs
stubs: setup ## Generate Go, Java and TypeScript code under clients/ (those whose tools are here)
	$(BIN)/python -m tools.generate_stubs $(ARGS)

.PHONY: bench
bench: setup ## Measure against COPY, INSERT and Arrow Flight, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench --docs docs $(ARGS)

.PHONY: bench-quick
bench-quick: setup ## The same with fewer events, in two minutes; writes nothing
	$(BIN)/python -m tests.bench --quick $(ARGS)

.PHONY: bench-paced
bench-paced: setup ## Measure small requests of many clients for a minute, and a burst (needs Go); writes nothing
	$(BIN)/python -m tests.bench.paced $(ARGS)

.PHONY: bench-greedy
bench-greedy: setup ## Measure a small export beside another caller's fifty large ones; writes nothing
	$(BIN)/python -m tests.bench.greedy $(ARGS)

.PHONY: lock
lock: setup ## Resolve requirements.lock anew from pyproject.toml (ARGS=--upgrade for the newest)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command 'make lock' \
	  --extra server --extra dashboard --extra otel --extra jfr --group dev $(ARGS) --output-file requirements.lock pyproject.toml

.PHONY: fuzz
fuzz: setup ## Hostile input at every door for a minute (ARGS="http --seconds 600" for one, and longer)
	$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: audit
audit: setup ## Ask pip's index for known vulnerabilities of the locked packages (needs one that tells)
	$(BIN)/python -m tools.check_vulnerabilities $(ARGS)

.PHONY: clean
clean: ## Remove everything that make made, .venv included
	rm -rf $(VENV) build dist out .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf clients/go/argus_grpc clients/java/target clients/node/gen clients/node/node_modules
	find argus_grpc clients examples tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
