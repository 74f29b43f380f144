# Each target does its own set-up: `make demo` and `make test` work in a fresh clone with Python 3.11, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BEGUN := $(VENV).begun
BROWSER := $(VENV)/.browser-asked-for
# As `python -m venv --clear`, without its stack trace on Ctrl+C.
MAKE_VENV := import signal, venv; signal.signal(signal.SIGINT, signal.SIG_DFL); \
  venv.create("$(VENV)", clear=True, symlinks=True, with_pip=True)
# A machine that keeps no compiled code compiles Hunter and its tests anew in each process: half a minute for each worker.
export PYTHONDONTWRITEBYTECODE :=
TESTS ?= hunter_pipeline_tests
# One more than there are cores to fill: a test often waits for another process or for an answer that does not come.
WORKERS ?= 3
ORDER = $(if $(SEED),--randomly-seed=$(SEED),-p no:randomly)
# A dozen processes at once: by themselves, with `make test-celery`.
MANY := hunter_pipeline_tests/orchestration/test_celery.py hunter_pipeline_tests/orchestration/test_two_of_each.py
SOAK_SYNCS ?= 300
SOAK_PAYLOADS ?= 10000
SOAK_SEED ?= $(shell date +%s)

.PHONY: help demo dev test test-processes test-days test-celery soak audit licences check lint format bench screenshots browser release lock clean
.DEFAULT_GOAL := help

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

demo: $(INSTALLED) ## See the product in a minute: sample referrals become ranked leads
	@$(BIN)/hunter demo

dev: $(INSTALLED) ## Run the Dagster UI and the lead list on the sample data
	@$(BIN)/hunter dev --sandbox

test: $(INSTALLED) ## Run the tests that start no programs; with SEED=N in the random order that N gives
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -q $(MANY:%=--ignore %) -m 'not processes' $(ORDER) $(TESTS)

test-processes: $(INSTALLED) browser ## Run the tests that start programs: commands, servers, Dagster's UI, a browser, the wheel; SEED=N too
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -q $(MANY:%=--ignore %) -m processes $(ORDER) $(TESTS)

test-days: $(INSTALLED) ## Run the tests that read dates under other clocks (needs a C compiler)
	@PYTEST=$(BIN)/pytest SEED=$(SEED) .ci/days

test-celery: $(INSTALLED) ## Run the product as many processes: a scan whose worker or broker is killed, two of each (needs redis-server)
	$(BIN)/pytest -q $(MANY)

soak: $(INSTALLED) ## Sync hundreds of times with faults at random, and thousands of wrong referrals; SOAK_SEED=N repeats a run
	SOAK_SYNCS=$(SOAK_SYNCS) SOAK_PAYLOADS=$(SOAK_PAYLOADS) SOAK_SEED=$(SOAK_SEED) $(BIN)/pytest -q -s --timeout 7200 \
	  hunter_pipeline_tests/integration/pipeline/test_soak.py hunter_pipeline_tests/integration/pipeline/test_fuzzed_payloads.py

audit: $(INSTALLED) ## Ask PyPI's advisory database about every locked package (needs the network)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements.lock

licences: $(INSTALLED) ## Write docs/licences.md anew, out of what the locked packages say of themselves
	$(BIN)/python -m hunter_pipeline_tests.licences

check: $(INSTALLED) ## Load the definitions as Dagster does, and check them
	$(BIN)/dg check defs

lint: $(INSTALLED) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Measure, each figure beside a peer or a limit of the same run, and write docs/performance.md
	$(BIN)/python -m benchmarks --write docs/performance.md

screenshots: $(INSTALLED) browser ## Take the pictures of the documentation anew, from demos of their own
	$(BIN)/python -m hunter_pipeline_tests.web.screenshots docs/images
	$(BIN)/python -m hunter_pipeline_tests.orchestration.screenshots docs/images

# Chromium's shell without windows needs half the processor time; where it cannot be had, any Chromium will do.
browser: $(INSTALLED) ## Install a Chromium for the page tests where there is none
	@test -e $(BROWSER) || command -v chromium-headless-shell >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Getting Chromium's shell, once" \
	       && apt-get update -qq >/dev/null 2>&1 \
	       && apt-get install -y -qq --no-install-recommends chromium-headless-shell >/dev/null 2>&1; } || true
	@touch $(BROWSER)
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null || $(BIN)/playwright install chromium

release: $(INSTALLED) ## Build wheel and source archive, and try the wheel in an empty environment
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	rm -rf build/empty && $(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements.lock
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	cd build && empty/bin/hunter --version && empty/bin/hunter settings >/dev/null && empty/bin/hunter rules check

lock: $(INSTALLED) ## Choose the newest versions that fit and write requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --extra dev --extra sandbox --generate-hashes \
	  --upgrade --custom-compile-command 'make lock' pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --no-strip-extras --python-version 3.11 --python-platform linux --extra celery --extra kubernetes --generate-hashes \
	  --constraint requirements.lock --no-annotate --custom-compile-command 'make lock' pyproject.toml -o deploy/requirements.lock

clean: ## Remove the virtual environment and caches; .hunter (the data) stays
	rm -rf $(VENV) $(BEGUN) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info

# What broke off half-way is made again from nothing: pip takes a half-written package for an installed one.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Hunter needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (one or two minutes, once)"
	@[ ! -e $(BEGUN) ] || rm -rf $(VENV)
	@touch $(BEGUN)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null 2>&1 \
	  || $(PYTHON) -c '$(MAKE_VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm $(BEGUN)
	@touch $@
