# Headrace: every target sets up what it needs. A machine with Python >= 3.11 and make is enough.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
ONLY ?=
export UV_PYTHON_DOWNLOADS := never
export PYTHONHASHSEED := 0
# Where it is set, every process compiles all it imports anew: three quarters of a start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint unit contract integration chaos airflow chart e2e images bench format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headrace needs Python >= 3.11; $(PYTHON) is older. Set PYTHON=python3.12 or the like."; exit 78; }
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'

$(READY): $(UV) uv.lock pyproject.toml $(wildcard */pyproject.toml */*/pyproject.toml)
	$(UV) sync --quiet --frozen --python $(PYTHON)
	$(BIN)/python -c 'import os; from headrace_local.java import find_java; find_java(os.environ)' 2>/dev/null || $(UV) sync --quiet --frozen --python $(PYTHON) --extra jre
	touch $@

demo: $(READY) ## Start everything, send traffic, show where it went; ARGS="--events 200000 --exit"
	@$(BIN)/headrace demo $(ARGS)

test: lint unit contract integration chaos airflow chart ## Everything that needs no cluster

lint: $(READY) ## Formatting, style, types, import contracts, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy libs/*/src services/*/src operator/src spark/src lambda/src cli/src tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/pytest tests/house -q $(ARGS)

unit: $(READY) ## Pure tests: seconds
	$(BIN)/pytest tests/unit -n 2 $(ARGS)

contract: $(READY) ## One suite per port, on every adapter
	$(BIN)/pytest tests/contract -n 2 --dist loadgroup $(ARGS)

integration: $(READY) ## Services against the real Kafka, S3 server and PostgreSQL
	$(BIN)/pytest tests/integration -n 3 --dist loadgroup $(ARGS) # one for Spark, which needs a core and a half; the others mostly wait

chaos: $(READY) ## The seeded state machine and its planted bugs
	$(BIN)/pytest tests/chaos -n 2 $(ARGS)

airflow: $(UV) ## The DAGs, in Airflow's own environment
	$(UV) sync --quiet --frozen --project airflow --python $(PYTHON)
	cd airflow
	.venv/bin/pytest $(ARGS)

chart: $(READY) ## Chart, images and skaffold as rendered; needs helm (HELM=…), else most of it is skipped
	$(BIN)/pytest tests/chart -n 2 $(ARGS)

e2e: $(READY) ## On a real cluster: KUBECONFIG=…, or HEADRACE_LOCALKUBE=…
	$(UV) sync --quiet --frozen --project airflow --python $(PYTHON)
	KUBERNETES_TESTS="$${KUBECONFIG:-}" $(BIN)/pytest tests/contract/test_kubernetes.py tests/e2e --timeout 3600 $(ARGS)

images: ## Build the images with buildah; ONLY="ingest cli", BASE_IMAGE=…, JRE_BASE_IMAGE=…
	@.ci/images $(ONLY)

bench: $(READY) ## Measure the figures beside their ordinary alternatives; ONLY=ingest_json_50,dedup
	$(UV) sync --quiet --frozen --python $(PYTHON) --group bench
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

format: $(READY) ## Format the code and mend what can be mended by rule
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environments and the local stack's data
	rm -rf .venv airflow/.venv .uv .headrace .pytest_cache .mypy_cache .ruff_cache .hypothesis
