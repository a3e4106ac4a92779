# Two commands: `make demo` and `make test`. Each makes .venv and fills it first.

PYTHON ?=
export PYTHON
TORCH ?= torch==2.13.0
WORKERS ?= 2
# Extra arguments for pytest, e.g. make test PYTEST="-k sharing -x"
PYTEST ?=

# Halves first, so that tests that share compiled programs stay on one worker.
WORKERS_ARE := -n $(WORKERS) --dist worksteal

BIN := .venv/bin
# The workers fill the cores; NumPy's own threads would only be in their way.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help demo test test-slow lint clean
.DEFAULT_GOAL := help

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/.runtime ## distil two students on synthetic video; see runs/demo/report.html
	$(BIN)/dst-jax demo --workdir runs/demo

lint: .venv/.dev ## ruff, import contracts, pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: lint ## lint, then every test but the slow ones
	$(THREADS) $(BIN)/pytest -q $(WORKERS_ARE) -m "not slow" $(PYTEST)

test-slow: lint ## lint, then every test
	$(THREADS) $(BIN)/pytest -q $(WORKERS_ARE) $(PYTEST)

clean: ## remove .venv, caches and builds; runs/ stays
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache .import_linter_cache .jax_cache
	rm -rf build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The newest Python for which all is to be had, unless PYTHON names one. JAX is faster
# from 3.12 on: no newer one than 0.10 runs on 3.11.
.venv/bin/python:
	@python=$${PYTHON:-$$(scripts/newest_python.sh)} && \
	  echo "$$python -m venv .venv" && "$$python" -m venv .venv

.venv/.runtime: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# torch only reads .pth files and serves as a reference; without it those tests are
# left out. A free version range would bring gigabytes of CUDA.
.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@test -z "$(TORCH)" || $(BIN)/python -m pip install --quiet $(TORCH) \
	  || echo "$(TORCH) is not to be had for this Python; its tests are left out."
	@touch $@ .venv/.runtime
