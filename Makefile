# Thin on purpose: the work is in `openlinear up`, in pytest and in scripts/.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test chaos lint bench build lock clean

run: ## Start everything on http://localhost:3001 (API_PORT); Ctrl-C stops it
	@PYTHON=$(PYTHON) scripts/setup run
	@exec $(BIN)/openlinear up

test: ## Set up what the tests need, then lint and run the whole suite
	@PYTHON=$(PYTHON) scripts/setup dev
	@scripts/test-machine
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m tests.prepare
	@$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15 --ignore tests/chaos
	@exec $(BIN)/python -m pytest tests/chaos # alone: it takes all of a machine

chaos: ## Kill every part at random for MINUTES=60, from SEED=...; prints what happened, and the seed
	@PYTHON=$(PYTHON) scripts/setup dev
	@scripts/test-machine
	@exec $(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

lint:
	@PYTHON=$(PYTHON) scripts/setup dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: ## The figures of the README, printed as a table
	@PYTHON=$(PYTHON) scripts/setup dev
	@scripts/test-machine
	@exec $(BIN)/python -m benchmarks

build: ## A wheel with the built pages in it, in dist/
	@PYTHON=$(PYTHON) scripts/setup dev
	@$(BIN)/openlinear build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls -l dist

lock: ## Pin every dependency of dependencies, from pyproject.toml
	@PYTHON=$(PYTHON) scripts/lock

clean: ## Remove what was built here; the data in OPENLINEAR_HOME stays
	rm -rf .venv .web .web.lock dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
